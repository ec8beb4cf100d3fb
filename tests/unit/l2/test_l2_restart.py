"""The switch agent when it, the switch or the server goes and comes back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.waiting import PATIENCE_S, until

from pileus.drivers.ovsdb.edit import Edit
from pileus.host.l2 import tables
from pileus.host.l2.apply import SwitchApplier
from pileus.host.l2.restart import HELD_KEY, WAIT_KEY, RestartHold

from .scene import device
from .switch_bench import Bench, cloud, running, scenario

replace = msgspec.structs.replace


def test_restart_rewrites_nothing() -> None:
    async def story() -> None:
        server = cloud()
        for number in (1, 2, 3):
            server.put_device(device(number), "n1")
        async with running(server) as bench:
            await bench.plug(1, 2, 3)
            await until(lambda: all(d.status == "ACTIVE" for d in server.devices.values()))
            await bench.agent.reconciler.settled()
            await bench.kill()
            told = len(server.statuses)
            await bench.start()
            await until(lambda: bench.agent.metrics.full_passes > 0)
            assert bench.agent.metrics.changes == 0
            assert len(server.statuses) == told, "nothing new to tell"

    scenario(story)


def test_what_went_while_the_agent_was_away_is_told_down() -> None:
    async def story() -> None:
        server = cloud()
        server.put_device(device(1), "n1")
        async with running(server) as bench:
            await bench.plug(1)
            await until(lambda: server.devices["port-1"].status == "ACTIVE")
            await bench.kill()
            await bench.unplug(1)
            await bench.start()
            await until(lambda: server.devices["port-1"].status == "DOWN")

    scenario(story)


def test_flows_come_back_after_vswitchd() -> None:
    async def story() -> None:
        server = cloud()
        server.put_device(device(1), "n1")
        async with running(server) as bench:
            await bench.plug(1)
            await until(lambda: server.devices["port-1"].status == "ACTIVE")
            await bench.agent.reconciler.settled()
            flows = bench.ours()
            bench.switch.stop_vswitchd()
            assert bench.ours() == 0
            await asyncio.sleep(0.05)
            bench.switch.start_vswitchd()
            await until(lambda: bench.ours() == flows)

    scenario(story)


def test_flows_of_an_earlier_version_stay_a_moment_in_tables_that_are_not_used_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        server = cloud()
        server.put_device(device(1), "n1")
        async with running(server) as bench:
            await bench.plug(1)
            await until(lambda: server.devices["port-1"].status == "ACTIVE")
            await bench.kill()
            in_use, former = bench.ours(), tables.EGRESS_STATE
            count = len(bench.flows_in(former))
            assert count
            monkeypatch.setattr(tables, "EGRESS_STATE", 100)
            await bench.start()
            await until(lambda: bench.agent.metrics.full_passes > 0)
            assert len(bench.flows_in(100)) == len(bench.flows_in(former)) == count
            await until(lambda: not bench.flows_in(former))
            assert bench.ours() == in_use
            # Only what was there at the start: what goes later goes at once.
            monkeypatch.setattr(tables, "EGRESS_STATE", former)
            bench.agent.reconciler.wake(reread=True, inspect=True)
            await until(lambda: bool(bench.flows_in(former)))
            assert not bench.flows_in(100)

    scenario(story)


def test_a_switch_that_starts_again_waits_for_its_flows_and_never_for_ever() -> None:
    async def story() -> None:
        server = cloud()
        server.put_device(device(1), "n1")
        async with running(server) as bench:
            await bench.plug(1)
            await until(lambda: server.devices["port-1"].status == "ACTIVE")
            await bench.agent.reconciler.settled()

            def held() -> tuple[bool, bool]:
                (row,) = bench.client.tables["Open_vSwitch"].values()
                return WAIT_KEY in row["other_config"], HELD_KEY in row["external_ids"]

            bench.switch.stop_vswitchd()
            await until(lambda: held() == (True, True))
            bench.switch.start_vswitchd()
            await until(lambda: held() == (False, False))
            assert bench.ours() > 0
            # An agent that dies meanwhile leaves it to the next one.
            bench.switch.stop_vswitchd()
            await until(lambda: held() == (True, True))
            await bench.kill()
            bench.switch.start_vswitchd()
            await bench.start()
            await until(lambda: bench.client.connected and held() == (False, False))
            # Where no pass ends, time does; what somebody else has set stays.
            hold = RestartHold(bench.client, hold_for_s=0.0)
            await hold.begin("br-int", "1")
            await hold.end("1")  # a pass that saw what the ended one left behind
            assert held() == (True, True)
            await asyncio.sleep(0.001)
            await hold.check()
            await until(lambda: held() == (False, False))
            edit = Edit(bench.client)
            edit.set_switch({"other_config": {WAIT_KEY: "true"}})
            await edit.commit()
            await hold.begin("br-int", "1")
            await hold.end("2")
            await until(lambda: held() == (True, False))

    scenario(story)


def test_after_a_restart_all_is_written_before_anything_is_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[tuple[str, str]] = []

    def noted(what: str) -> None:
        original = getattr(SwitchApplier, what)

        async def call(applier: SwitchApplier, bridge: str, *rest: Any) -> Any:
            order.append((what, bridge))
            return await original(applier, bridge, *rest)

        monkeypatch.setattr(SwitchApplier, what, call)

    async def story() -> None:
        server = cloud()
        server.put_device(device(1), "n1")
        async with running(server) as bench:
            await bench.plug(1)
            await until(lambda: server.devices["port-1"].status == "ACTIVE")
            await bench.agent.reconciler.settled()
            flows = bench.ours()
            order.clear()
            bench.switch.stop_vswitchd()
            bench.switch.start_vswitchd()
            await until(lambda: bench.ours() == flows)
            await bench.agent.reconciler.settled()

    noted("write")
    noted("read_back")
    scenario(story)
    first = [what for what, _ in order].index("read_back")
    written = [bridge for what, bridge in order[:first] if what == "write"]
    assert written[-1] == "br-int" and len(set(written)) > 1
    assert {bridge for what, bridge in order[first:] if what == "read_back"} >= {"br-int"}


def test_a_switch_that_is_being_restarted_is_waited_for_and_no_fault_of_ours() -> None:
    async def story() -> None:
        server = cloud()
        server.put_device(device(1), "n1")
        async with running(server) as bench:
            await bench.plug(1)
            await until(lambda: server.devices["port-1"].status == "ACTIVE")
            await bench.agent.reconciler.settled()
            bench.switch.stop_vswitchd()
            bench.agent.reconciler.wake(inspect=True)
            status = bench.agent.reconciler.status
            await until(lambda: status.failures_in_a_row > 0)
            # So it is one line in the log, and no traceback: test_reconcile.
            assert "The switch of this node is not there yet: br-int" in str(status.last_error)
            bench.switch.start_vswitchd()
            await until(lambda: status.failures_in_a_row == 0)

    scenario(story)


def test_ovsdb_connection_lost_and_found() -> None:
    async def story() -> None:
        server = cloud()
        server.put_device(device(1), "n1")
        async with running(server) as bench:
            await until(lambda: bench.agent.metrics.full_passes > 0)
            bench.switch.disconnect()
            await bench.plug(1)
            await until(lambda: server.devices["port-1"].status == "ACTIVE")
            assert await bench.full_pass() == 0

    scenario(story)


def test_without_its_server_the_switch_stays_and_is_repaired() -> None:
    async def story() -> None:
        server = cloud()
        server.put_device(device(1), "n1")
        async with running(server) as bench:
            await bench.plug(1)
            await until(lambda: server.devices["port-1"].status == "ACTIVE")
            await bench.agent.reconciler.settled()
            flows = bench.ours()
            server.away = True
            bench.agent.reconciler.wake(reread=True, inspect=True)
            bench.switch.stop_vswitchd()
            bench.switch.start_vswitchd()
            await until(lambda: bench.ours() == flows)
            server.away = False
            await until(lambda: bench.agent.reconciler.status.failures_in_a_row == 0)

    scenario(story)


def test_a_new_agent_without_server_touches_nothing() -> None:
    async def story() -> None:
        server = cloud()
        server.away = True
        async with running(server) as bench:
            await until(lambda: bench.agent.reconciler.status.failures > 1)
            assert bench.switch.flows == {}
            server.away = False
            await until(lambda: bench.agent.metrics.full_passes > 0)
            assert bench.ours() > 0

    scenario(story)


def test_a_switch_that_ends_right_after_its_first_pass_is_held() -> None:
    async def story() -> None:
        server = cloud()
        server.put_device(device(1), "n1")
        async with running(server) as bench:
            await bench.plug(1)
            await until(lambda: bench.ours("br-int") > 0)
            bench.switch.stop_vswitchd()  # before the watch of vswitchd has looked again
            hold = RestartHold(bench.client)
            await until(lambda: hold.is_held)
            bench.switch.start_vswitchd()
            await until(lambda: not hold.is_held and bench.ours("br-int") > 0)

    scenario(story)


def test_sigterm_stop_leaves_the_switch_as_it_is() -> None:
    async def story() -> None:
        server = cloud()
        server.put_device(device(1), "n1")
        bench = Bench(server)
        await bench.start()
        await bench.plug(1)
        await until(lambda: server.devices["port-1"].status == "ACTIVE")
        flows = bench.ours()
        bench.agent.stop()
        assert bench._task is not None
        await asyncio.wait_for(bench._task, PATIENCE_S)
        assert bench.ours() == flows

    scenario(story)


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
