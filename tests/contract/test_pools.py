"""The same questions to pools of every kind and to their simulated twin."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.waiting import until

from pileus.drivers.libvirt.daemon import qemu_owner
from pileus.drivers.pools.directory import DirectoryPool
from pileus.drivers.pools.pool import (
    BadSource,
    Place,
    Pool,
    PoolFailed,
    PoolUnavailable,
    Source,
    StoredInUse,
    StoredMissing,
    Wanted,
)
from pileus.drivers.pools.simulated import simulated_pool
from pileus.drivers.qemu_img.driver import QemuImg, missing_programs
from pileus.drivers.qemu_img.images import empty_qcow2
from pileus.drivers.qemu_img.locks import is_written

MIB = 1 << 20
Run = Callable[[Any], Any]


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder that the user of the pool's files may pass."""
    path = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="pileus-pools-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


class Case:
    """A pool, a way to make it anew, and what makes a volume look as if somebody wrote to it."""

    def __init__(self, kind: str, root: Path) -> None:
        self.kind, self.root = kind, root
        self.written: set[Path] = set()

    def make(self) -> Pool:
        folder = self.root / "pool"
        if self.kind == "simulated":
            return simulated_pool(folder, 64 << 30, is_written=self.written.__contains__)
        return DirectoryPool(folder, QemuImg(user=qemu_owner()), owner=qemu_owner(), durable=False)


@pytest.fixture(params=["simulated", pytest.param("directory", marks=pytest.mark.real)])
def case(request: pytest.FixtureRequest, root: Path) -> Case:
    if request.param == "directory" and (missing := missing_programs()):
        pytest.skip(f"not installed: {', '.join(missing)}")
    return Case(request.param, root)


@pytest.fixture
def run() -> Iterator[Run]:
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture
def pool(case: Case, run: Run) -> Pool:
    pool = case.make()
    run(pool.open())
    return pool


def wanted(size: int = 8 * MIB, **more: Any) -> Wanted:
    return Wanted(volume_id=str(uuid4()), size=size, **more)


def io(place: Place, *commands: str) -> str:
    """Read and write as a guest would."""
    words = [word for command in commands for word in ("-c", command)]
    done = subprocess.run(
        ["qemu-io", "-f", place.format, *words, str(place.path)], capture_output=True, text=True
    )
    assert done.returncode == 0 and "failed" not in done.stdout, done.stdout + done.stderr
    return done.stdout


def write(place: Place, pattern: int, at: str = "1M") -> None:
    io(place, f"write -P {pattern} {at} 64k")


def holds(place: Place, pattern: int, at: str = "1M") -> bool:
    command = [
        "qemu-io",
        "-U",
        "-r",
        "-f",
        place.format,
        "-c",
        f"read -P {pattern} {at} 64k",
        str(place.path),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode == 0 and "Pattern verification failed" not in done.stdout


def test_an_empty_volume(pool: Pool, case: Case, run: Run) -> None:
    for given in (wanted(), wanted(format="raw")):
        made = run(pool.create(given))
        assert (made.volume_id, made.size, made.snapshots) == (given.volume_id, 8 * MIB, {})
        assert run(pool.create(given)) == made, "a verb may be repeated"
    place = run(pool.place(given.volume_id))
    assert place.format == "raw"
    assert place.path.exists()
    again = case.make()
    run(again.open())
    contents = run(again.contents())
    assert contents.volumes == run(pool.contents()).volumes, "it is found again"
    assert contents.strange == ()
    assert run(again.usage()).provisioned == 16 * MIB


def test_what_is_not_there(pool: Pool, run: Run) -> None:
    nobody, made = str(uuid4()), run(pool.create(wanted())).volume_id
    for verb in (
        lambda: pool.place(nobody),
        lambda: pool.snapshot(nobody, nobody),
        lambda: pool.extend(nobody, MIB),
    ):
        with pytest.raises(StoredMissing):
            run(verb())
    for source in (Source(volume_id=nobody), Source(volume_id=made, snapshot_id=nobody)):
        with pytest.raises(StoredMissing):
            run(pool.clone(wanted(), source))
    with pytest.raises(StoredMissing):
        run(pool.revert(made, nobody))
    run(pool.delete(nobody))
    run(pool.delete_snapshot(made, nobody))
    assert set(run(pool.contents()).volumes) == {made}, "nothing is left of what could not be made"


def test_ids_lead_nowhere_else(pool: Pool, run: Run) -> None:
    for bad in ("../../etc", "/etc/passwd", "", "a" * 300):
        with pytest.raises(PoolFailed):
            run(pool.create(Wanted(volume_id=bad, size=MIB)))
        with pytest.raises(PoolFailed):
            run(pool.delete(bad))


def test_larger_but_never_smaller(pool: Pool, run: Run) -> None:
    made = run(pool.create(wanted()))
    assert run(pool.extend(made.volume_id, 16 * MIB)).size == 16 * MIB
    assert run(pool.extend(made.volume_id, 16 * MIB)).size == 16 * MIB
    with pytest.raises(PoolFailed, match="smaller"):
        run(pool.extend(made.volume_id, MIB))
    assert run(pool.contents()).volumes[made.volume_id].size == 16 * MIB


def test_snapshots_clones_and_what_is_left(pool: Pool, case: Case, run: Run) -> None:
    """Sources go before what was made of them, and nothing is left in the end."""
    volume, other = run(pool.create(wanted())).volume_id, str(uuid4())
    first, second = str(uuid4()), str(uuid4())
    run(pool.snapshot(volume, first))
    run(pool.snapshot(volume, first))
    run(pool.extend(volume, 16 * MIB))
    run(pool.snapshot(volume, second))
    stored = run(pool.contents()).volumes[volume]
    assert stored.snapshots == {first: 8 * MIB, second: 16 * MIB}
    clone = wanted(32 * MIB)
    source = Source(volume_id=volume, snapshot_id=first)
    assert run(pool.clone(clone, source)).size == 32 * MIB
    run(pool.clone(clone, source))
    with pytest.raises(PoolFailed, match="smaller"):
        run(pool.clone(wanted(MIB), source))
    run(pool.clone(Wanted(volume_id=other, size=16 * MIB), Source(volume_id=volume)))
    assert run(pool.revert(volume, first)).size == 16 * MIB, "a volume that has grown stays as large"
    run(pool.delete_snapshot(volume, first))
    run(pool.delete_snapshot(volume, first))
    run(pool.delete(volume))
    run(pool.delete(volume))
    assert set(run(pool.contents()).volumes) == {clone.volume_id, other}
    run(pool.tidy())
    assert run(pool.tidy()) == 0
    again = case.make()
    run(again.open())
    assert set(run(again.contents()).volumes) == {clone.volume_id, other}
    for left in (clone.volume_id, other):
        run(again.delete(left))
    run(again.tidy())
    contents = run(again.contents())
    assert (contents.volumes, contents.strange) == ({}, ())
    assert run(again.usage()).provisioned == 0
    assert not list((case.root / "pool" / "volumes").iterdir())


def test_whoever_writes_is_not_disturbed(pool: Pool, case: Case, run: Run) -> None:
    volume = run(pool.create(wanted())).volume_id
    snapshot = str(uuid4())
    run(pool.snapshot(volume, snapshot))
    place = run(pool.place(volume))
    writer = None
    if case.kind == "simulated":
        case.written.add(place.path)
    else:
        writer = subprocess.Popen(["qemu-io", "-f", place.format, "-c", "sleep 60000", str(place.path)])
        run(until(lambda: is_written(place.path)))
    try:
        for verb in (
            lambda: pool.snapshot(volume, str(uuid4())),
            lambda: pool.revert(volume, snapshot),
            lambda: pool.clone(wanted(), Source(volume_id=volume)),
            lambda: pool.extend(volume, 16 * MIB),
            lambda: pool.copy_out(Source(volume_id=volume), case.root / "copy", "raw"),
            lambda: pool.delete(volume),
        ):
            with pytest.raises(StoredInUse):
                run(verb())
        run(pool.clone(wanted(), Source(volume_id=volume, snapshot_id=snapshot)))
        run(pool.delete_snapshot(volume, snapshot))
        run(pool.tidy())
        assert run(pool.place(volume)) == place
    finally:
        case.written.clear()
        if writer is not None:
            writer.kill()
            writer.wait()
    run(pool.snapshot(volume, snapshot))


def test_a_file_becomes_a_volume(pool: Pool, case: Case, run: Run) -> None:
    file = case.root / "image"
    file.write_bytes(empty_qcow2(4 * MIB))
    file.chmod(0o644)
    made = run(pool.create_from_file(wanted(), file, "qcow2"))
    assert made.size == 8 * MIB
    with pytest.raises(PoolFailed, match="smaller"):
        run(pool.create_from_file(wanted(MIB), file, "qcow2"))
    with pytest.raises(BadSource, match="declared as raw"):
        run(pool.create_from_file(wanted(), file, "raw"))
    with pytest.raises(BadSource, match="vdi"):
        run(pool.create_from_file(wanted(), file, "vdi"))
    assert set(run(pool.contents()).volumes) == {made.volume_id}


HOSTILE = {
    "a backing file": empty_qcow2(4 * MIB, "/etc/passwd", "raw"),
    "an external data file": empty_qcow2(4 * MIB)[:72] + (4).to_bytes(8, "big") + empty_qcow2(4 * MIB)[80:],
}


@pytest.mark.parametrize("why", HOSTILE)
def test_a_file_that_refers_to_another_is_refused(why: str, pool: Pool, case: Case, run: Run) -> None:
    file = case.root / "image"
    file.write_bytes(HOSTILE[why])
    with pytest.raises(BadSource, match=why):
        run(pool.create_from_file(wanted(), file, "qcow2"))
    file.write_text('# Disk DescriptorFile\ncreateType="monolithicFlat"\nRW 8 FLAT "/etc/passwd" 0\n')
    with pytest.raises(BadSource, match="descriptor"):
        run(pool.create_from_file(wanted(), file, "vmdk"))
    assert run(pool.contents()).volumes == {}


def test_a_volume_becomes_a_file(pool: Pool, case: Case, run: Run) -> None:
    volume, snapshot = run(pool.create(wanted())).volume_id, str(uuid4())
    run(pool.snapshot(volume, snapshot))
    raw, small = case.root / "raw", case.root / "small"
    run(pool.copy_out(Source(volume_id=volume), raw, "raw"))
    assert raw.stat().st_size == 8 * MIB
    run(pool.copy_out(Source(volume_id=volume, snapshot_id=snapshot), small, "qcow2", compress=True))
    assert run(pool.create_from_file(wanted(), small, "qcow2")).size == 8 * MIB
    with pytest.raises(PoolFailed):
        run(pool.copy_out(Source(volume_id=volume), case.root / "never", "raw", compress=True))
    assert not (case.root / "never").exists()


def test_what_may_be_opened_any_moment_is_left_alone(pool: Pool, run: Run) -> None:
    volume, clone, snapshot = run(pool.create(wanted())).volume_id, wanted(), str(uuid4())
    run(pool.snapshot(volume, snapshot))
    run(pool.clone(clone, Source(volume_id=volume, snapshot_id=snapshot)))
    run(pool.delete(volume))
    assert run(pool.tidy(lambda volume_id: volume_id == clone.volume_id)) == 0
    assert run(pool.tidy(lambda volume_id: volume_id == volume)) > 0
    assert set(run(pool.contents()).volumes) == {clone.volume_id}


def test_chains_are_kept_short(pool: Pool, run: Run) -> None:
    volume = run(pool.create(wanted())).volume_id
    for _ in range(20):
        clone = wanted()
        run(pool.clone(clone, Source(volume_id=volume)))
        run(pool.delete(volume))
        volume = clone.volume_id
    run(pool.tidy())
    assert set(run(pool.contents()).volumes) == {volume}


def test_a_folder_of_others_is_no_pool(case: Case, run: Run) -> None:
    (case.root / "pool").mkdir()
    (case.root / "pool" / "letters").write_text("dear")
    with pytest.raises(PoolUnavailable, match="letters"):
        run(case.make().open())
    assert [path.name for path in (case.root / "pool").iterdir()] == ["letters"]


def test_what_is_not_ours_is_told_and_left(pool: Pool, case: Case, run: Run) -> None:
    volume = run(pool.create(wanted())).volume_id
    volumes = case.root / "pool" / "volumes"
    (volumes / "notes").write_text("mine")
    (volumes / volume / "notes").write_text("mine, too")
    (volumes / volume / "9.qcow2").write_text("a beginning")
    run(pool.tidy())
    assert run(pool.contents()).strange == tuple(sorted((f"{volume}/notes", "notes")))
    assert not (volumes / volume / "9.qcow2").exists()
    assert (volumes / volume / "notes").exists()


@pytest.mark.real
def test_content_stays_with_whom_it_belongs_to(root: Path, run: Run) -> None:
    """Through snapshots, clones, reverting, flattening and copies, as a guest sees it."""
    if missing := missing_programs():
        pytest.skip(f"not installed: {', '.join(missing)}")
    pool = Case("directory", root).make()
    run(pool.open())
    for format in ("qcow2", "raw"):
        volume, before = run(pool.create(wanted(format=format))).volume_id, str(uuid4())
        write(run(pool.place(volume)), 1)
        run(pool.snapshot(volume, before))
        write(run(pool.place(volume)), 2)
        clone, flat = wanted(16 * MIB), wanted(format="raw", thick=True)
        run(pool.clone(clone, Source(volume_id=volume, snapshot_id=before)))
        run(pool.clone(flat, Source(volume_id=volume)))
        write(run(pool.place(volume)), 3)
        assert holds(run(pool.place(clone.volume_id)), 1)
        assert holds(run(pool.place(flat.volume_id)), 2)
        assert run(pool.contents()).volumes[flat.volume_id].used >= 8 * MIB
        kept = Source(volume_id=volume, snapshot_id=before)
        run(pool.copy_out(kept, root / "copy", "qcow2", compress=True))
        run(pool.revert(volume, before))
        assert holds(run(pool.place(volume)), 1)
        run(pool.delete(volume))
        assert run(pool.tidy()) > 0
        assert holds(run(pool.place(clone.volume_id)), 1)
        assert len(list((root / "pool" / "volumes" / clone.volume_id).glob("*.*"))) == 2, "a layer, a record"
        assert not (root / "pool" / "volumes" / volume).exists()
        copied = wanted()
        run(pool.create_from_file(copied, root / "copy", "qcow2"))
        assert holds(run(pool.place(copied.volume_id)), 1)


@pytest.mark.real
def test_vmdk_is_read(root: Path, run: Run) -> None:
    if missing := missing_programs():
        pytest.skip(f"not installed: {', '.join(missing)}")
    pool = Case("directory", root).make()
    run(pool.open())
    raw, vmdk = root / "raw", root / "image.vmdk"
    raw.write_bytes(bytes(MIB) + b"\x07" * 65536 + bytes(MIB))
    for kind in ("monolithicSparse", "streamOptimized"):
        subprocess.run(
            ["qemu-img", "convert", "-O", "vmdk", "-o", f"subformat={kind}", raw, vmdk], check=True
        )
        vmdk.chmod(0o644)
        volume = wanted()
        run(pool.create_from_file(volume, vmdk, "vmdk"))
        assert holds(run(pool.place(volume.volume_id)), 7)


def test_a_volume_gets_another_content(pool: Pool, case: Case, run: Run) -> None:
    volume, snapshot = run(pool.create(wanted())).volume_id, str(uuid4())
    run(pool.snapshot(volume, snapshot))
    file = case.root / "image"
    file.write_bytes(empty_qcow2(4 * MIB))
    file.chmod(0o644)
    before = run(pool.place(volume))
    assert run(pool.rewrite(volume, file, "qcow2")).snapshots == {snapshot: 8 * MIB}
    assert run(pool.place(volume)) != before
    with pytest.raises(BadSource):
        run(pool.rewrite(volume, file, "raw"))
    run(pool.revert(volume, snapshot))
    with pytest.raises(StoredMissing):
        run(pool.rewrite(str(uuid4()), file, "qcow2"))
