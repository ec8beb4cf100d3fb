"""A pool whose volumes a machine writes to: what is kept when the agent ends at any moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from pileus.drivers.pools.directory import DirectoryPool
from pileus.drivers.pools.pool import Source, StoredInUse, Wanted
from pileus.drivers.qemu_img.simulated import SimulatedImages

MIB = 1 << 20
Run = Callable[[Any], Any]


class Machine:
    """Writes to one file; goes on in another one when it is told to."""

    def __init__(self) -> None:
        self.file: Path | None = None
        self.dies_after: Exception | None = None
        self.sizes: dict[Path, int] = {}

    def writes(self, path: Path) -> bool:
        return path == self.file

    async def resize_file(self, path: Path, size: int) -> bool:
        self.sizes[path] = size
        return path == self.file

    async def move_to_overlays(self, moves: Mapping[Path, Path]) -> set[Path]:
        if self.file is None or self.file not in moves:
            return set()
        path, self.file = self.file, moves[self.file]
        assert self.file.exists()
        if self.dies_after is not None:
            raise self.dies_after
        return {path}


@pytest.fixture
def run() -> Iterator[Run]:
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture
def machine() -> Machine:
    return Machine()


def make(root: Path, machine: Machine, run: Run) -> DirectoryPool:
    pool = DirectoryPool(
        root / "pool", SimulatedImages(), is_written=machine.writes, live=machine, durable=False
    )
    run(pool.open())
    return pool


@pytest.fixture
def pool(tmp_path: Path, machine: Machine, run: Run) -> DirectoryPool:
    return make(tmp_path, machine, run)


def opened(pool: DirectoryPool, machine: Machine, run: Run) -> str:
    volume_id = str(uuid4())
    run(pool.create(Wanted(volume_id=volume_id, size=MIB)))
    machine.file = run(pool.place(volume_id)).path
    return volume_id


def test_a_machine_goes_on_while_its_disk_is_kept(
    tmp_path: Path, pool: DirectoryPool, machine: Machine, run: Run
) -> None:
    volume, snapshot, clone = opened(pool, machine, run), str(uuid4()), str(uuid4())
    before = machine.file
    run(pool.snapshot(volume, snapshot))
    assert machine.file == run(pool.place(volume)).path != before
    run(pool.clone(Wanted(volume_id=clone, size=MIB), Source(volume_id=volume)))
    assert machine.file == run(pool.place(volume)).path
    copy = tmp_path / "copy"
    run(pool.copy_out(Source(volume_id=volume), copy, "raw"))
    assert copy.stat().st_size == MIB
    assert run(pool.extend(volume, 4 * MIB)).size == 4 * MIB
    assert machine.sizes == {machine.file: 4 * MIB}
    with pytest.raises(StoredInUse):
        run(pool.revert(volume, snapshot))
    with pytest.raises(StoredInUse):
        run(pool.delete(volume))


def test_volumes_come_and_go_while_all_are_looked_at(pool: DirectoryPool, machine: Machine, run: Run) -> None:
    first, second = opened(pool, machine, run), opened(pool, machine, run)
    run(pool.snapshot(first, str(uuid4())))
    used = pool._files.used

    def meanwhile(volume_id: str, layers: Mapping[int, Any]) -> int:
        record = pool._records.pop(second, None)
        if record is not None:
            pool._records[str(uuid4())] = record
            pool._records[first].snapshots.clear()
        return used(volume_id, layers)

    pool._files.used = meanwhile  # type: ignore[method-assign]
    assert set(run(pool.contents()).volumes) == {first, second}


def test_layers_that_nobody_needs_are_dropped_by_several(
    pool: DirectoryPool, machine: Machine, run: Run
) -> None:
    several = [opened(pool, machine, run) for _ in range(4)]
    machine.file, remove = None, pool._files.remove

    def slow(volume_id: str) -> None:
        time.sleep(0.1 if volume_id == several[0] else 0)
        remove(volume_id)

    pool._files.remove = slow  # type: ignore[method-assign]

    async def drop() -> list[int]:
        return await asyncio.gather(pool._drop_unneeded(), pool._drop_unneeded())

    for volume_id in several:
        pool._records[volume_id].active = None
    assert sum(run(drop())) == len(several)
    assert pool._records == {}


@pytest.mark.parametrize("written", [True, False], ids=["still running", "gone meanwhile"])
def test_the_agent_ends_after_the_machine_went_on(
    written: bool, tmp_path: Path, machine: Machine, run: Run
) -> None:
    pool = make(tmp_path, machine, run)
    volume, snapshot = opened(pool, machine, run), str(uuid4())
    before, machine.dies_after = machine.file, KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run(pool.snapshot(volume, snapshot))
    machine.dies_after = None
    went_on_in = machine.file
    if not written:
        machine.file = None
    again = make(tmp_path, machine, run)
    run(again.tidy())
    assert run(again.place(volume)).path == went_on_in != before
    run(again.snapshot(volume, snapshot))
    assert run(again.contents()).volumes[volume].snapshots == {snapshot: MIB}
    assert went_on_in is not None and went_on_in.exists()


def test_the_agent_ends_before_the_machine_went_on(tmp_path: Path, machine: Machine, run: Run) -> None:
    pool = make(tmp_path, machine, run)
    volume, snapshot = opened(pool, machine, run), str(uuid4())
    before, machine.file = machine.file, Path("elsewhere")
    pool_sees = before

    def writes(path: Path) -> bool:
        return path == pool_sees

    machine.writes = writes  # type: ignore[method-assign]
    pool = make(tmp_path, machine, run)
    with pytest.raises(StoredInUse):
        run(pool.snapshot(volume, snapshot))
    again = make(tmp_path, machine, run)
    run(again.tidy())
    assert run(again.place(volume)).path == before, "it still writes there"
    assert run(again.contents()).volumes[volume].snapshots == {}
    machine.file = before
    run(again.snapshot(volume, snapshot))
    assert run(again.place(volume)).path == machine.file != before


def test_a_program_that_nobody_knows_keeps_its_file(pool: DirectoryPool, machine: Machine, run: Run) -> None:
    volume = opened(pool, machine, run)

    async def nothing(moves: Mapping[Path, Path]) -> set[Path]:
        return set()

    async def nobody(path: Path, size: int) -> bool:
        return False

    machine.move_to_overlays, machine.resize_file = nothing, nobody  # type: ignore[method-assign]
    with pytest.raises(StoredInUse):
        run(pool.snapshot(volume, str(uuid4())))
    with pytest.raises(StoredInUse):
        run(pool.extend(volume, 4 * MIB))
    assert run(pool.contents()).volumes[volume].size == MIB


def test_who_opens_a_volume_waits_for_what_is_merged_below(
    tmp_path: Path, machine: Machine, run: Run
) -> None:
    """A clone of a volume whose ended layer is being merged, which a machine is about to open."""
    pool = make(tmp_path, machine, run)
    volume, clone = str(uuid4()), str(uuid4())
    first, second = str(uuid4()), str(uuid4())
    run(pool.create(Wanted(volume_id=volume, size=MIB)))
    run(pool.snapshot(volume, first))
    run(pool.snapshot(volume, second))
    run(pool.clone(Wanted(volume_id=clone, size=MIB), Source(volume_id=volume, snapshot_id=second)))
    order: list[str] = []

    async def story() -> None:
        begun, end = asyncio.Event(), asyncio.Event()
        rebase = pool._images.rebase

        async def slow(*arguments: Any, **more: Any) -> None:
            begun.set()
            await end.wait()
            await rebase(*arguments, **more)
            order.append("merged")

        pool._images.rebase = slow  # type: ignore[method-assign]
        await pool.delete_snapshot(volume, first)
        tidying = asyncio.create_task(pool.tidy())
        await begun.wait()
        opening = asyncio.create_task(pool.place(clone))
        await asyncio.sleep(0)
        assert not opening.done()
        end.set()
        await opening
        order.append("opened")
        await tidying

    run(story())
    assert order[:2] == ["merged", "opened"]


def test_several_volumes_are_kept_at_one_moment(tmp_path: Path, machine: Machine, run: Run) -> None:
    pool = make(tmp_path, machine, run)
    quiet, busy = str(uuid4()), opened(pool, machine, run)
    run(pool.create(Wanted(volume_id=quiet, size=MIB)))
    wanted = {quiet: str(uuid4()), busy: str(uuid4())}
    before, machine.dies_after = machine.file, KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run(pool.snapshot_all(wanted))
    machine.dies_after = None
    again = make(tmp_path, machine, run)
    assert all(not one.snapshots for one in run(again.contents()).volumes.values()), "all or none"
    run(again.snapshot_all(wanted))
    run(again.snapshot_all(wanted))
    stored = run(again.contents()).volumes
    assert {key: list(one.snapshots) for key, one in stored.items()} == {
        key: [snapshot] for key, snapshot in wanted.items()
    }
    assert machine.file == run(again.place(busy)).path != before

    async def nothing(moves: Mapping[Path, Path]) -> set[Path]:
        return set()

    machine.move_to_overlays = nothing  # type: ignore[method-assign]
    with pytest.raises(StoredInUse):
        run(again.snapshot_all({quiet: str(uuid4()), busy: str(uuid4())}))
    assert all(len(one.snapshots) == 1 for one in run(again.contents()).volumes.values())


def test_half_of_a_group_is_of_another_moment(tmp_path: Path, machine: Machine, run: Run) -> None:
    pool = make(tmp_path, machine, run)
    one, two = str(uuid4()), str(uuid4())
    wanted = {one: str(uuid4()), two: str(uuid4())}
    for volume in wanted:
        run(pool.create(Wanted(volume_id=volume, size=MIB)))
    run(pool.snapshot(one, wanted[one]))
    first = pool._records[one].snapshots[wanted[one]]
    run(pool.snapshot_all(wanted))
    assert pool._records[one].snapshots[wanted[one]] != first
    assert run(pool.contents()).volumes[two].snapshots == {wanted[two]: MIB}
