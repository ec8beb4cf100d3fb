"""Any single server that can't be made leaves all others served, and is told with its reason."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.unit.poison import PHASES, poisoned
from tests.waiting import PATIENCE_S

from pileus.core.errors import Invalid
from pileus.drivers.libvirt.hypervisor import Power
from pileus.drivers.netlink.links import LinkError
from pileus.drivers.ovsdb.client import TransactionFailed
from pileus.drivers.ovsdb.edit import Edit
from pileus.host.hypervisor import batches, executor, plan
from pileus.host.hypervisor.consoles import trim_all
from pileus.wire.hypervisor import HypervisorReport, ImageSource

from .bench import Bench, details, port, server_id
from .compute_server import ComputeServer

GOOD = (1, 2)
VICTIM = server_id(9)
IMAGE = ImageSource("img", "qcow2", 100, "sha512", "0" * 128, "/image/none?ticket=t")


async def good(bench: Bench) -> bool:
    states = [bench.server.states.get(server_id(n)) for n in GOOD]
    powers = await bench.powers()
    return (
        all(state is not None and state.in_place and state.error is None for state in states)
        and all(powers.get(server_id(n)) is Power.RUNNING for n in GOOD)
        and bench.plugged() >= {port(n).port_id for n in GOOD}
    )


async def becomes_good(bench: Bench) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await bench.running.in_sync.wait()
        while not await good(bench):
            await asyncio.sleep(0.005)


@settings(max_examples=25, phases=PHASES, deadline=None, suppress_health_check=list(HealthCheck))
@given(bad=st.one_of(poisoned(details(9)), poisoned(replace(details(9), image=IMAGE, ephemeral_gib=1))))
def test_one_bad_server_leaves_all_others_served(bad: Any) -> None:
    assume(bad.server_id == VICTIM)  # ids are checked where records are read

    async def story(folder: Path) -> None:
        bench = Bench(folder, ComputeServer())
        try:
            await bench.start()
            bench.server.put(details(1))
            bench.server.put(bad)
            bench.server.put(details(2))
            await becomes_good(bench)
            await bench.full_pass()
            assert await good(bench)
            await bench.kill()
            await bench.start()
            await bench.settled()
            assert await good(bench)
            assert bench.running.reconciler.status.failures == 0
            # What became good is served at the next pass.
            bench.server.put(details(9, generation=max(bad.generation, 1) + 1))
            await bench.until(lambda: _in_place(bench, VICTIM))
            bench.server.delete(VICTIM)
            await bench.until(lambda: VICTIM in bench.server.gone)
            assert await good(bench)
        finally:
            await bench.close()

    if bad.generation > 1 << 31:
        return
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(story(Path(folder)))


def _in_place(bench: Bench, key: str) -> bool:
    state = bench.server.states.get(key)
    return state is not None and state.in_place


@pytest.mark.parametrize("where", ["plan", "spec", "disks", "tap", "transaction"])
def test_whatever_fails_for_one_is_told_and_the_others_boot(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faults that no record shows, of kinds that nobody expects."""
    bench = Bench(tmp_path, ComputeServer())
    surprise = RuntimeError("nobody thought of this")
    real: dict[str, Any] = {
        "plan": plan.plan_server,
        "spec": batches.domain_spec,
        "disks": executor.Executor._disks,
        "tap": bench.links.ensure_taps,
        "transaction": Edit.commit,
    }

    def planned(server: Any, *rest: Any, **more: Any) -> Any:
        if server.server_id == VICTIM:
            raise surprise
        return real["plan"](server, *rest, **more)

    def spec(server: Any, *rest: Any) -> Any:
        if server.server_id == VICTIM:
            raise surprise
        return real["spec"](server, *rest)

    async def disks(self: Any, server: Any, *rest: Any) -> None:
        if server.server_id == VICTIM:
            raise surprise
        await real["disks"](self, server, *rest)

    async def taps(some: Any) -> None:
        some = list(some)
        if any(tap.label.endswith(port(9).port_id) for tap in some):
            raise LinkError("nobody thought of this")
        await real["tap"](some)

    async def commit(self: Edit, **values: Any) -> bool:
        if VICTIM in str(self.operations()):
            raise TransactionFailed(-1, None, "constraint violation", "nobody thought of this")
        return bool(await real["transaction"](self, **values))

    async def story() -> None:
        try:
            with monkeypatch.context() as patched:
                for thing, name, value in {
                    "plan": [(plan, "plan_server", planned)],
                    "spec": [(batches, "domain_spec", spec)],
                    "disks": [(executor.Executor, "_disks", disks)],
                    "tap": [(bench.links, "ensure_taps", taps)],
                    "transaction": [(Edit, "commit", commit)],
                }[where]:
                    patched.setattr(thing, name, value)
                await bench.start()
                for number in (1, 9, 2):
                    bench.server.put(details(number))
                await becomes_good(bench)
                await bench.until(lambda: _error(bench))
                assert "nobody thought of this" in _error(bench)
                assert bench.running.configurations()["failed"] == 1
                assert bench.running.reconciler.status.failures == 0
            bench.server.change(VICTIM, generation=2)
            await bench.until(lambda: _in_place(bench, VICTIM))
        finally:
            await bench.close()

    asyncio.run(story())


def _error(bench: Bench) -> str:
    state = bench.server.states.get(VICTIM)
    return (state.error or "") if state is not None else ""


def test_a_report_that_the_server_refuses_keeps_it_from_hearing_nothing_else(tmp_path: Path) -> None:
    class Picky(ComputeServer):
        def _hypervisor_report(self, report: HypervisorReport) -> Any:
            if any(server.server_id == VICTIM for server in report.servers):
                raise Invalid("nobody thought of this")
            return super()._hypervisor_report(report)

    async def story() -> None:
        bench = Bench(tmp_path, Picky())
        try:
            await bench.start()
            for number in (1, 9, 2):
                bench.server.put(details(number))
            await becomes_good(bench)
            await bench.settled()
        finally:
            await bench.close()

    asyncio.run(story())


def test_of_many_removals_one_that_fails_keeps_the_others_from_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = executor.Executor.take_apart

    async def take_apart(self: Any, server_ids: Any) -> None:
        if VICTIM in server_ids:
            raise RuntimeError("nobody thought of this")
        await real(self, server_ids)

    async def story() -> None:
        bench = Bench(tmp_path, ComputeServer())
        try:
            await bench.start()
            for number in (1, 9, 2):
                bench.server.put(details(number))
            await bench.until(lambda: all(_in_place(bench, server_id(n)) for n in (1, 2, 9)))
            with monkeypatch.context() as patched:
                patched.setattr(executor.Executor, "take_apart", take_apart)
                bench.server.deaf = True
                for number in (1, 2, 9):
                    bench.server.delete(server_id(number))
                bench.running.reconciler.wake(reread=True)
                await bench.until(lambda: {server_id(1), server_id(2)} <= set(bench.server.gone))
                assert VICTIM not in bench.server.gone
            await bench.until(lambda: VICTIM in bench.server.gone)
        finally:
            await bench.close()

    asyncio.run(story())


def test_a_log_that_can_not_be_cut_leaves_none_of_the_others_long(tmp_path: Path) -> None:
    folder, long = tmp_path / "a-folder", tmp_path / "console.log"
    folder.mkdir()
    long.write_bytes(b"line\n" * 1000)
    trim_all([folder, tmp_path / "none", long], 100)
    assert long.stat().st_size <= 100


def test_a_journal_that_can_not_be_read_is_begun_anew(tmp_path: Path) -> None:
    async def story() -> None:
        bench = Bench(tmp_path, ComputeServer())
        bench.node.instances.mkdir()
        (bench.node.instances / "journal.json").write_text("{")
        try:
            await bench.start()
            for number in GOOD:
                bench.server.put(details(number))
            await becomes_good(bench)
        finally:
            await bench.close()

    asyncio.run(story())
