"""A host that lost its power: what ran runs again, what was off stays off."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from pileus.drivers.libvirt.hypervisor import Power
from pileus.host.hypervisor.plan import HOST_RESTARTED

from .bench import Bench, details, port, server_id
from .compute_server import ComputeServer

RAN, STOPPED, WENT = server_id(1), server_id(2), server_id(3)


async def _boot(bench: Bench) -> None:
    """One that runs, one that its owner stopped, one that its owner shut down from inside."""
    await bench.start()
    for number in (1, 2, 3):
        bench.server.put(details(number))
    await bench.until(lambda: len(bench.server.states) == 3)
    await bench.until(lambda: all(state.in_place for state in bench.server.states.values()))
    await bench.settled()
    bench.server.change(STOPPED, wanted="stopped")
    await bench.until(lambda: bench.server.states[STOPPED].power_state == 4)
    bench.hypervisor.power_off(WENT)
    await bench.until(lambda: bench.server.servers[WENT].wanted == "stopped")
    await bench.settled()


async def _lose_power(bench: Bench) -> None:
    """All processes end, and what the kernel held is gone; files stay."""
    await bench.kill()
    for key in (RAN, STOPPED, WENT):
        bench.hypervisor.crash(key)
    await bench.links.delete_links([name for name in await bench.links.links() if name.startswith("tap")])
    bench.node = replace(bench.node, boot_id="another run")


@pytest.mark.parametrize("resume", [True, False])
def test_what_ran_runs_again_after_the_host_was_started_again(resume: bool, tmp_path: Path) -> None:
    async def story() -> None:
        bench = Bench(tmp_path, ComputeServer(), boot_id="one run", resume=resume)
        try:
            await _boot(bench)
            await _lose_power(bench)
            await bench.start()
            await bench.settled()
            powers = await bench.powers()
            assert powers[RAN] is (Power.RUNNING if resume else Power.OFF)
            assert (powers[STOPPED], powers[WENT]) == (Power.OFF, Power.OFF)
            told = [step for step in bench.server.steps[RAN] if HOST_RESTARTED in step.detail]
            assert [step.name for step in told] == ["domain.start" if resume else "host.restarted"]
            assert not [step for step in bench.server.steps[STOPPED] if HOST_RESTARTED in step.detail]
            assert bench.server.servers[RAN].wanted == ("running" if resume else "stopped")
            assert port(1).port_id in bench.plugged()
            assert "tap00000001-11" in await bench.taps()
            assert await bench.full_pass() == 0
            # It is done once: a start of the agent alone changes nothing, and says nothing again.
            await bench.kill()
            await bench.start()
            await bench.settled()
            assert len([step for step in bench.server.steps[RAN] if HOST_RESTARTED in step.detail]) == 1
        finally:
            await bench.close()

    asyncio.run(story())


def test_a_start_of_the_agent_starts_no_guest_that_was_shut_down_from_inside(tmp_path: Path) -> None:
    async def story() -> None:
        bench = Bench(tmp_path, ComputeServer(), boot_id="one run")
        try:
            await _boot(bench)
            await bench.kill()
            bench.hypervisor.power_off(RAN)
            await bench.start()
            await bench.until(lambda: bench.server.servers[RAN].wanted == "stopped")
            await bench.settled()
            assert (await bench.powers())[RAN] is Power.OFF
            # Nor does the next start of the host.
            await _lose_power(bench)
            await bench.start()
            await bench.settled()
            assert (await bench.powers())[RAN] is Power.OFF
        finally:
            await bench.close()

    asyncio.run(story())


def test_where_no_run_is_known_nothing_is_started(tmp_path: Path) -> None:
    """Such as after an upgrade: a record that names no run says nothing of how its machine ended."""

    async def story() -> None:
        bench = Bench(tmp_path, ComputeServer())
        try:
            await _boot(bench)
            await _lose_power(bench)
            await bench.start()
            await bench.settled()
            assert (await bench.powers())[RAN] is Power.OFF
        finally:
            await bench.close()

    asyncio.run(story())


def test_a_tap_that_somebody_deletes_comes_back_under_the_card_of_a_running_machine(tmp_path: Path) -> None:
    async def story() -> None:
        bench = Bench(tmp_path, ComputeServer())
        bench.switch.devices = set()  # the switch opens what is there, and nothing else
        try:
            await bench.start()
            for number in (1, 2):
                bench.server.put(details(number))
            await bench.until(lambda: len(bench.plugged()) == 2)
            await bench.settled()
            before = bench.client.by_name("Port")["tap00000001-11"]["external_ids"]["pileus-ifindex"]
            await bench.links.delete_links(["tap00000001-11"])
            await bench.until(lambda: any(one.name == "interface.renew" for one in bench.server.steps[RAN]))
            await bench.settled()
            assert "tap00000001-11" in await bench.taps()
            row = bench.client.by_name("Port")["tap00000001-11"]
            assert row["external_ids"]["pileus-ifindex"] != before
            assert (bench.client.by_name("Interface")["tap00000001-11"]["ofport"] or 0) > 0
            assert await bench.full_pass() == 0
            steps = [one.name for key in (RAN, STOPPED) for one in bench.server.steps[key]]
            assert steps.count("interface.renew") == 1
            assert (await bench.powers())[RAN] is Power.RUNNING
        finally:
            await bench.close()

    asyncio.run(story())
