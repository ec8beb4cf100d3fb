"""The chains of servers (boot, delete, shelve, …), broken at each step and killed between any two."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete
from tests import chains, databases
from tests.api.compute.chain_cases import (
    BootCase,
    CrashDumpCase,
    DeleteCase,
    RebootCase,
    RebuildCase,
    RescueCase,
    ServerCase,
    SnapshotCase,
    UnrescueCase,
)
from tests.api.compute.chain_moves import (
    EvacuateCase,
    LiveCase,
    OffloadCase,
    ResizeCase,
    RevertCase,
    ShelveCase,
    SweepCase,
    UnshelveCase,
)
from tests.api.compute.chain_volumes import (
    AttachCase,
    DetachCase,
    ShelveVolumesCase,
    VolumeBootCase,
    VolumeEvacuateCase,
    VolumeOffloadCase,
    VolumeResizeCase,
    VolumeRevertCase,
    VolumeUnshelveCase,
)
from tests.api.compute.cloud import cloud

from pileus.core.errors import Conflict
from pileus.services.compute.servers.chains import (
    BOOT,
    CHAINS,
    CRASH_DUMP,
    DELETE,
    EVACUATE,
    LIVE,
    OFFLOAD,
    REBOOT,
    REBUILD,
    RESCUE,
    RESIZE,
    REVERT,
    SHELVE,
    SNAPSHOT,
    UNRESCUE,
    UNSHELVE,
)
from pileus.services.compute.servers.chains import delete as deletion
from pileus.store.operations import FAILED, Operation, operations

_CASES = (
    BootCase, VolumeBootCase, DeleteCase, RebuildCase, RebootCase, SnapshotCase, RescueCase, UnrescueCase,
    ShelveCase, OffloadCase, UnshelveCase, CrashDumpCase, SweepCase, ResizeCase, RevertCase, EvacuateCase,
    LiveCase, AttachCase, DetachCase, ShelveVolumesCase,
)  # fmt: skip
CASES = {case.chain.kind: case for case in _CASES}


@contextlib.asynccontextmanager
async def make(case: type[ServerCase], folder: Path, kind: str = "sqlite") -> AsyncIterator[ServerCase]:
    with databases.fresh(kind, folder) as url:
        async with cloud(url, with_volumes=True) as api:
            yield case(api)


every = pytest.mark.parametrize("kind", sorted(CASES))


MOVES = (VolumeResizeCase, VolumeRevertCase, VolumeEvacuateCase, VolumeOffloadCase, VolumeUnshelveCase)
moved = pytest.mark.parametrize("case", MOVES)


@moved
def test_volumes_come_along(tmp_path: Path, case: type[ServerCase]) -> None:
    asyncio.run(chains.go_through(make, case, tmp_path))


@moved
def test_volumes_go_back_where_a_step_fails(tmp_path: Path, case: type[ServerCase]) -> None:
    asyncio.run(chains.fail_each_step(make, case, tmp_path))


@moved
def test_volumes_are_at_one_place_whoever_is_killed(tmp_path: Path, case: type[ServerCase]) -> None:
    kills = asyncio.run(chains.kill_everywhere(make, case, tmp_path))
    assert kills >= 2 * len(chains.doing(case.chain))


def test_every_chain_has_a_case() -> None:
    assert set(CASES) == {chain.kind for chain in CHAINS}


@every
def test_it_goes_through_also_where_units_run_again(tmp_path: Path, kind: str) -> None:
    asyncio.run(chains.go_through(make, CASES[kind], tmp_path))


@pytest.mark.parametrize("kind", [chain.kind for chain in CHAINS if chains.doing(chain)])
def test_each_step_fails_and_all_is_undone(tmp_path: Path, kind: str) -> None:
    asyncio.run(chains.fail_each_step(make, CASES[kind], tmp_path))


@every
def test_a_conductor_killed_before_and_after_each_commit(tmp_path: Path, kind: str) -> None:
    kills = asyncio.run(chains.kill_everywhere(make, CASES[kind], tmp_path))
    assert kills >= 2 * len(chains.doing(CASES[kind].chain))


@pytest.mark.nightly
@pytest.mark.parametrize("database", ["postgresql", "mariadb"])
def test_a_conductor_killed_on_other_databases(tmp_path: Path, database: str) -> None:
    assert asyncio.run(chains.kill_everywhere(make, BootCase, tmp_path, database)) == 6


@pytest.mark.parametrize(
    ("kind", "step"), [(chain.kind, name) for chain in CHAINS for name in chains.doing(chain)[-1:]]
)
def test_a_conductor_killed_while_it_undoes(tmp_path: Path, kind: str, step: str) -> None:
    assert asyncio.run(chains.kill_everywhere(make, CASES[kind], tmp_path, break_at=step))


LATE: dict[str, str | None] = {
    REBOOT.kind: "rebooting_hard: took too long",
    REBUILD.kind: "rebuilding: took too long",
    DELETE.kind: None,
    SNAPSHOT.kind: "image_backup: took too long",
    RESCUE.kind: "rescuing: took too long",
    UNRESCUE.kind: "unrescuing: took too long",
    SHELVE.kind: "shelving: took too long",
    OFFLOAD.kind: None,
    UNSHELVE.kind: "unshelving: took too long",
    CRASH_DUMP.kind: "node took too long",
    RESIZE.kind: "resize_migrating: took too long",
    REVERT.kind: "resize_reverting: took too long",
    EVACUATE.kind: "rebuild_spawning: took too long",
    LIVE.kind: "migrating: took too long",
}


@pytest.mark.parametrize("kind", sorted(LATE))
def test_nobody_reports_and_the_conductor_is_killed_as_well(tmp_path: Path, kind: str) -> None:
    async def check(case: ServerCase, operation: Operation) -> None:
        reason = LATE[kind]
        if reason is None:
            await case.assert_done()
        else:
            assert (operation.state, operation.error) == (FAILED, reason)
            await case.assert_undone(operation.step, reason)

    kills = asyncio.run(chains.kill_everywhere(make, CASES[kind], tmp_path, answered=False, check=check))
    assert kills >= 2


@pytest.mark.nightly
@pytest.mark.parametrize("database", ["postgresql", "mariadb"])
@pytest.mark.parametrize("kind", [REBOOT.kind, REBUILD.kind])
def test_nobody_reports_on_other_databases(tmp_path: Path, kind: str, database: str) -> None:
    async def main() -> None:
        async with chains.begun(make, CASES[kind], tmp_path, database) as case:
            operation = await chains.to_its_end(case, case.chain, answered=False)
            await case.assert_undone(operation.step, str(LATE[kind]))

    asyncio.run(main())


def test_a_host_that_is_down_is_named(tmp_path: Path) -> None:
    async def main() -> None:
        async with chains.begun(make, RebuildCase, tmp_path) as case:
            case.clock.advance(case.parts.config.task_timeout_s + 1)
            operation = await chains.to_its_end(case, REBUILD)
            assert operation.error == "rebuilding: the host h1 is down"

    asyncio.run(main())


def test_the_timeline_says_how_far_an_operation_is(tmp_path: Path) -> None:
    async def main() -> None:
        async with chains.begun(make, BootCase, tmp_path) as case:
            assert isinstance(case, ServerCase)
            path = f"/servers/{case.server_id}/os-pileus-timeline"
            seen = []
            store = chains.Watched(case.store, 1)
            for look in range(2):
                (one,) = (await case.api("GET", path)).json["operations"]
                seen.append((one["operation"], one["state"], one["step"], one["position"], one["of"]))
                if look == 0:
                    with pytest.raises(chains.Killed):
                        await chains.to_its_end(case, BOOT, store=store)
            assert seen == [
                ("server.boot", "pending", "schedule", 1, 3),
                ("server.boot", "running", "plug", 2, 3),
            ]
            await case.pass_time(chains.LEASE_S + 1)
            await chains.to_its_end(case, BOOT)
            await case.api("DELETE", f"/servers/{case.server_id}")
            await case.host.pass_()
            boot, deletion = (await case.api("GET", path)).json["operations"]
            assert (boot["state"], boot["position"], deletion["state"]) == ("done", 3, "done")
            assert (deletion["step"], deletion["position"], deletion["of"]) == ("close", 2, 2)

    asyncio.run(main())


def test_tasks_of_a_version_without_chains_are_brought_to_their_end(tmp_path: Path) -> None:
    async def main() -> None:
        async with make(DeleteCase, tmp_path) as case:
            await case.set_up()
            api = case.api
            gone, rebuilt = await api.boot(case.host, "gone"), await api.boot(case.host, "rebuilt")
            case.clock.advance(1)
            await api("DELETE", f"/servers/{gone['id']}")
            await api.act(rebuilt["id"], "rebuild", {"imageRef": rebuilt["image"]["id"]})
            await case.store.write(lambda tx: tx.execute(delete(operations)))
            conductor = api.conductor()
            await conductor.work()
            assert await api.count("operations") == 2
            await conductor.work()
            assert await api.count("operations") == 2, "each once"
            await case.pass_time(case.parts.config.task_timeout_s + 1)
            await conductor.work()
            assert (await api("GET", f"/servers/{gone['id']}")).status == 404
            server = await api.server(rebuilt["id"])
            assert server["fault"]["message"] == "rebuilding: took too long"

    asyncio.run(main())


def test_a_server_that_can_not_be_closed_keeps_none_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine: Any = vars(deletion)["close"]

    def close(tx: Any, context: Any, several: Any, **rest: Any) -> None:
        if any(server["name"] == "odd" for server in several):
            raise Conflict("Port 1 is odd.")
        genuine(tx, context, several, **rest)

    async def main() -> None:
        async with make(DeleteCase, tmp_path) as case:
            await case.set_up()
            api = case.api
            servers = [await api.boot(case.host, name) for name in ("one", "odd", "other")]
            case.clock.advance(1)
            for server in servers:
                await api("DELETE", f"/servers/{server['id']}")
            monkeypatch.setattr(deletion, "close", close)
            await case.host.pass_()
            await api.conductor().work()
            statuses = [(await api("GET", f"/servers/{server['id']}")).status for server in servers]
            assert statuses == [404, 200, 404]
            odd = await api.server(servers[1]["id"])
            assert (odd["status"], odd["fault"]["message"]) == ("ERROR", "Port 1 is odd.")
            monkeypatch.setattr(deletion, "close", genuine)
            await api("DELETE", f"/servers/{odd['id']}")
            await case.host.pass_()
            assert (await api("GET", f"/servers/{odd['id']}")).status == 404

    asyncio.run(main())
