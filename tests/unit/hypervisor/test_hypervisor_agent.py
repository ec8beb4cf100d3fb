"""Stories of one host: servers come, change, fail and go; over twins."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pileus.drivers.libvirt.hypervisor import HypervisorFailed, HypervisorUnavailable, Power
from pileus.wire.hypervisor import ServerReport
from pileus.wire.questions import Question

from .bench import Bench, details, port, server_id
from .compute_server import ComputeServer

Story = Callable[[Bench], Awaitable[None]]
ONE, TWO = server_id(1), server_id(2)


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., None]:
    def run(story: Story, **node: Any) -> None:
        async def whole() -> None:
            bench = Bench(tmp_path, ComputeServer(), **node)
            try:
                await bench.start()
                await story(bench)
            finally:
                await bench.close()

        asyncio.run(whole())

    return run


def steps(bench: Bench, key: str) -> list[str]:
    return [step.name for step in bench.server.steps[key]]


def in_place(key: str, power_state: int = 1, generation: int = 1) -> ServerReport:
    return ServerReport(key, generation, power_state, True)


async def booted(bench: Bench, *numbers: int) -> None:
    for number in numbers:
        bench.server.put(details(number))
    await bench.until(
        lambda: all(bench.server.states.get(server_id(n)) == in_place(server_id(n)) for n in numbers)
    )
    await bench.settled()


def test_a_server_boots_and_goes(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        source = bench.server.image("cirros", b"q" * 1000)
        bench.server.put(details(1, image=source))
        await bench.until(lambda: bench.server.states.get(ONE) == in_place(ONE))
        await bench.settled()
        assert sorted(steps(bench, ONE)) == [
            "config_drive.create",
            "disk.create",
            "domain.define",
            "domain.start",
            "image.fetch",
            "ports.plug",
        ]
        assert steps(bench, ONE)[-1] == "domain.start"
        assert bench.plugged() == {port(1).port_id}
        row = bench.client.by_name("Interface")["tap00000001-11"]["external_ids"]
        assert (row["attached-mac"], row["vm-uuid"], row["iface-status"]) == (
            port(1).mac_address,
            ONE,
            "active",
        )
        assert await bench.full_pass() == 0
        bench.server.delete(ONE)
        await bench.until(lambda: ONE in bench.server.gone)
        await bench.settled()
        assert (await bench.powers(), bench.plugged(), await bench.taps()) == ({}, set(), set())
        assert bench.folders() == set()

    play(story)


def test_many_at_once_cost_one_transaction_one_fetch_and_few_calls(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await bench.settled()
        source = bench.server.image("cirros", b"q" * 1000)
        bench.server.deaf = True
        for number in range(1, 41):
            bench.server.put(details(number, image=source))
        bench.server.calls.clear()
        transactions = bench.client.tables["Open_vSwitch"]
        before = next(iter(transactions.values()))["next_cfg"]
        bench.running.reconciler.wake(reread=True)
        await bench.until(lambda: len(bench.server.states) == 40)
        await bench.until(lambda: all(state.in_place for state in bench.server.states.values()))
        assert next(iter(bench.client.tables["Open_vSwitch"].values()))["next_cfg"] == before + 1
        assert bench.server.downloads == ["cirros"]
        assert bench.server.calls.count("hypervisor_state") == 1
        await bench.settled()
        assert len(bench.plugged()) == 40
        assert await bench.full_pass() == 0

    play(story)


def test_power_follows_what_is_wanted(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1)
        for wanted, power_state, power in (
            ("stopped", 4, Power.OFF),
            ("running", 1, Power.RUNNING),
            ("paused", 3, Power.PAUSED),
            ("running", 1, Power.RUNNING),
            ("suspended", 7, Power.OFF),
            ("running", 1, Power.RUNNING),
            ("suspended", 7, Power.OFF),
            ("stopped", 4, Power.OFF),
        ):
            expected = in_place(ONE, power_state)
            bench.server.change(ONE, wanted=wanted)
            while bench.server.states[ONE] != expected:
                await asyncio.sleep(0.005)
            await bench.settled()
            assert await bench.powers() == {ONE: power}
            assert await bench.full_pass() == 0

    play(story)


def test_a_restart_changes_nothing_and_tells_everything(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1, 2)
        bench.server.change(TWO, wanted="stopped")
        await bench.until(lambda: bench.server.states[TWO] == in_place(TWO, 4))
        await bench.kill()
        calls = bench.hypervisor.calls
        started = bench.hypervisor._machines[ONE].started_at
        bench.server.states.clear()
        await bench.start()
        await bench.settled()
        assert bench.running.metrics.changes == 0
        assert bench.server.states == {ONE: in_place(ONE), TWO: in_place(TWO, 4)}
        assert bench.hypervisor._machines[ONE].started_at == started
        assert bench.hypervisor.calls - calls < 10
        assert bench.server.present == (ONE, TWO)

    play(story)


def test_what_goes_off_by_itself_stays_off_and_is_told(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1, 2)
        bench.hypervisor.power_off(ONE)
        bench.hypervisor.crash(TWO)
        await bench.until(lambda: bench.server.states[ONE] == in_place(ONE, 4))
        await bench.until(lambda: bench.server.states[TWO] == in_place(TWO, 6))
        await bench.settled()
        assert set((await bench.powers()).values()) == {Power.OFF}
        assert bench.server.servers[ONE].wanted == "stopped"
        bench.server.change(ONE, wanted="running")
        await bench.until(lambda: bench.server.states[ONE] == in_place(ONE))

    play(story)


def test_an_operation_is_carried_out_once(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1)
        before = bench.hypervisor._machines[ONE].started_at
        bench.server.operate(ONE, "o1", type="HARD")
        bench.server.operate(ONE, "o2", type="SOFT")
        bench.server.operate(ONE, "o3", "dance")
        await bench.until(lambda: bench.server.operations.keys() == {"o1", "o2", "o3"})
        await bench.settled()
        assert bench.server.operations["o1"].error is None
        assert "dance" in (bench.server.operations["o3"].error or "")
        assert steps(bench, ONE).count("operation.reboot") == 2
        assert bench.hypervisor._machines[ONE].started_at > before
        assert await bench.powers() == {ONE: Power.RUNNING}
        await bench.full_pass()
        assert bench.running.journal.operations == {}

    play(story)


def test_an_operation_that_was_interrupted_is_finished_not_repeated(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1)
        # Killed between the two halves: the machine is off, and that it was told to start is known.
        bench.hypervisor.faults["start"] = HypervisorUnavailable("start", "libvirtd restarts")
        bench.server.operate(ONE, "o1", type="HARD")
        await bench.until(lambda: bench.hypervisor._machines[ONE].running is None)
        await bench.kill()
        assert await bench_powers(bench) == {ONE: Power.OFF}
        await bench.start()
        await bench.until(lambda: "o1" in bench.server.operations)
        await bench.settled()
        assert await bench.powers() == {ONE: Power.RUNNING}
        assert bench.server.servers[ONE].wanted == "running"

    async def bench_powers(bench: Bench) -> dict[str, Power]:
        await bench.hypervisor.connect()
        return await bench.powers()

    play(story)


def test_cards_come_and_go_while_it_runs(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1)
        bench.server.change(ONE, ports=(port(1), port(7)))
        await bench.until(lambda: "interface.attach" in steps(bench, ONE))
        await bench.settled()
        stats = await bench.hypervisor.stats()
        assert [card.tap for card in stats[ONE].interfaces] == ["tap00000001-11", "tap00000007-11"]
        assert await bench.full_pass() == 0
        bench.server.change(ONE, ports=(port(7),))
        await bench.until(lambda: bench.plugged() == {port(7).port_id})
        await bench.settled()
        stats = await bench.hypervisor.stats()
        assert [card.tap for card in stats[ONE].interfaces] == ["tap00000007-11"]
        assert await bench.taps() == {"tap00000007-11"}
        assert await bench.full_pass() == 0

    play(story)


def test_a_rebuild_makes_a_new_disk_and_keeps_the_ports(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1)
        disk = bench.running.book.places(ONE).root_disk
        disk.write_bytes(disk.read_bytes() + b" ")
        before = disk.stat().st_size
        source = bench.server.image("other", b"o" * 2000)
        bench.server.change(ONE, generation=2, image=source)
        await bench.until(lambda: bench.server.states[ONE] == in_place(ONE, generation=2))
        await bench.settled()
        assert disk.stat().st_size != before
        assert bench.running.book.get(ONE).base.startswith("sha512-")  # type: ignore[union-attr]
        assert await bench.full_pass() == 0

    play(story)


def test_a_build_that_fails_leaves_nothing_and_says_why(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        source = bench.server.image("cirros", b"q" * 1000)
        bench.server.images["cirros"] = b"x" * 1000
        bench.server.put(details(1, image=source))
        await bench.until(lambda: ONE in bench.server.states and bench.server.states[ONE].error)
        await bench.settled()
        assert "sha512" in (bench.server.states[ONE].error or "")
        assert (await bench.powers(), bench.plugged(), bench.folders()) == ({}, set(), set())
        assert not list((bench.folder / "images").iterdir())
        assert await bench.full_pass() == 0, "it is not tried again"
        await bench.kill()
        await bench.start()
        await bench.settled()
        assert (bench.running.metrics.changes, bench.folders()) == (0, set())
        bench.server.images["cirros"] = b"q" * 1000
        bench.server.change(ONE, generation=2)
        await bench.until(lambda: bench.server.states[ONE] == in_place(ONE, generation=2))

    play(story)


@pytest.mark.parametrize("verb", ["start", "ensure_defined"])
def test_a_step_that_fails_is_told_and_undone(play: Callable[..., None], verb: str) -> None:
    async def story(bench: Bench) -> None:
        await bench.settled()
        bad = details(1, vcpus=0) if verb == "ensure_defined" else details(1)
        if verb == "start":
            bench.hypervisor.faults["start"] = HypervisorFailed("start", "no memory left")
        bench.server.put(bad)
        await bench.until(lambda: ONE in bench.server.states and bench.server.states[ONE].error)
        await bench.settled()
        expected = "no memory left" if verb == "start" else "XML error"
        assert expected in (bench.server.states[ONE].error or "")
        assert (await bench.powers(), bench.plugged(), bench.folders()) == ({}, set(), set())

    play(story)


def test_what_can_not_be_done_now_is_done_later(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await bench.settled()
        bench.hypervisor.faults["start"] = HypervisorUnavailable("start", "libvirtd restarts")
        bench.server.put(details(1))
        await bench.until(lambda: bench.server.states.get(ONE) == in_place(ONE))
        assert steps(bench, ONE).count("domain.start") == 2
        assert steps(bench, ONE).count("disk.create") == 1

    play(story)


def test_a_server_that_is_deleted_while_its_image_comes(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        bench.server.download_gate = asyncio.Event()
        source = bench.server.image("cirros", b"q" * 1000)
        bench.server.put(details(1, image=source))
        await bench.until(lambda: bench.server.downloads)
        bench.server.delete(ONE)
        await bench.until(lambda: ONE in bench.server.gone)
        await bench.settled()
        assert (await bench.powers(), bench.plugged(), bench.folders()) == ({}, set(), set())
        bench.server.download_gate.set()
        bench.server.put(details(2, image=source))
        await bench.until(lambda: bench.server.states.get(TWO) == in_place(TWO))
        assert bench.server.downloads == ["cirros"]

    play(story)


@pytest.mark.parametrize("moment", range(0, 60, 4))
def test_killed_at_any_moment_of_a_build(play: Callable[..., None], moment: int) -> None:
    async def story(bench: Bench) -> None:
        await bench.settled()
        source = bench.server.image("cirros", b"q" * 1000)
        bench.server.put(details(1, image=source))
        for _ in range(moment):
            await asyncio.sleep(0)
        await bench.kill()
        await bench.start()
        await bench.until(lambda: bench.server.states.get(ONE) == in_place(ONE))
        await bench.settled()
        assert await bench.full_pass() == 0

    play(story)


def test_a_removal_that_nobody_heard_of_is_told_after_a_restart(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1)
        bench.server.delete(ONE)
        await bench.until(lambda: bench.folders() == set())
        bench.server.away = True
        await bench.kill()
        bench.server.gone.clear()
        bench.server.away = False
        await bench.start()
        await bench.until(lambda: ONE in bench.server.gone)
        await bench.settled()
        assert bench.running.journal.gone == []

    play(story)


def test_deleted_before_it_was_ever_seen(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await bench.settled()
        bench.server.deaf = True
        bench.server.put(details(1))
        bench.server.deaf = False
        bench.server.delete(ONE)
        await bench.until(lambda: ONE in bench.server.gone)

    play(story)


def test_questions(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1)
        bench.server.ask(
            Question("q1", "console_log", {"server_id": ONE, "length": 1}),
            Question("q2", "diagnostics", {"server_id": ONE}),
            Question("q3", "console_log", {"server_id": TWO}),
            Question("q4", "meaning", {"server_id": ONE}),
        )
        await bench.until(lambda: len(bench.server.answers) == 4)
        answers = {answer.question_id: answer for answer in bench.server.answers}
        assert answers["q1"].result["output"] == "server-1 login: "
        assert answers["q2"].result["power"] == "running"
        assert TWO in (answers["q3"].error or "") and "meaning" in (answers["q4"].error or "")

    play(story)


def test_consoles_are_brought_to_the_server(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1)

        async def asked(number: int, **arguments: Any) -> str | None:
            bench.server.ask(Question(f"q{number}", "console", {"server_id": ONE, **arguments}))
            await bench.until(lambda: any(one.question_id == f"q{number}" for one in bench.server.answers))
            return next(one.error for one in bench.server.answers if one.question_id == f"q{number}")

        serial, name = {"console": "serial"}, "a-name-of-24-characters-x"
        assert await asked(1, stream=name, **serial) is None
        await bench.until(lambda: name in bench.server.streams)
        stream = bench.server.streams[name]
        await bench.until(lambda: b"login: " in b"".join(stream.sent))
        stream.comes.put_nowait(b"root")
        await bench.until(lambda: stream.sent[-1] == b"root")
        stream.comes.put_nowait(b"")
        await bench.until(stream.closed.is_set)
        # Nothing but a name may stand where a name does, and none of these opens anything.
        for number, wrong in enumerate(("../call/answer", "short", "x" * 65, "a b" * 8, None), 2):
            assert await asked(number, stream=wrong, **serial)
        assert await asked(8, stream=name, console="spice")
        assert await asked(9, stream=name) and await asked(10, **serial)
        assert list(bench.server.streams) == [name]

    play(story)


def test_the_inventory_comes_with_the_heartbeat(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await bench.until(lambda: bench.server.inventory is not None)
        stock = bench.server.inventory
        assert stock is not None
        assert (stock.vcpus, stock.memory_mib, stock.memory_used_mib) == (16, 65536 - 512, 1000)
        assert (stock.hypervisor_hostname, stock.availability_zone) == ("n1", "z1")
        assert "agent_report" not in bench.server.calls
        bench.server.deaf = True
        bench.server.put(details(1))
        # No word was heard of it: the answer to a heartbeat says that there is something to read.
        await bench.until(lambda: bench.server.states.get(ONE) == in_place(ONE))

    play(story, reserved_memory_mib=512, availability_zone="z1", heartbeat_interval_s=0.05)


def test_a_missing_disk_is_never_made_anew(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1)
        bench.server.change(ONE, wanted="stopped")
        await bench.until(lambda: bench.server.states[ONE] == in_place(ONE, 4))
        bench.running.book.places(ONE).root_disk.unlink()
        bench.server.change(ONE, wanted="running")
        await bench.until(lambda: bench.server.states[ONE].error is not None)
        await bench.settled()
        assert "disk is missing" in (bench.server.states[ONE].error or "")
        assert not bench.running.book.places(ONE).root_disk.exists()
        assert await bench.full_pass() == 0

    play(story)


def test_a_lost_record_does_not_cost_the_disk(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1)
        await bench.kill()
        places = bench.running.book.places(ONE)
        (places.folder / "instance.json").unlink()
        before = places.root_disk.stat().st_ino
        await bench.start()
        await bench.settled()
        assert places.root_disk.stat().st_ino == before
        assert bench.server.states[ONE] == in_place(ONE)
        assert await bench.powers() == {ONE: Power.RUNNING}

    play(story)


def test_purge(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1, 2)
        await bench.kill()
        await bench.start()
        await bench.kill()
        await bench.running.purge()
        await bench.hypervisor.connect()
        await bench.until(lambda: bench.plugged() == set())
        assert (await bench.powers(), await bench.taps()) == ({}, set())
        assert not bench.node.instances.exists()

    play(story)
