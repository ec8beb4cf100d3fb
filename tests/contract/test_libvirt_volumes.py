"""Disks of machines that go on: what a pool asks of a hypervisor, asked of libvirt and of its twin."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from pileus.drivers.exports import iscsi
from pileus.drivers.libvirt.daemon import qemu_owner
from pileus.drivers.libvirt.domain import Disk
from pileus.drivers.libvirt.hypervisor import HypervisorFailed
from pileus.drivers.libvirt.simulated import SimulatedHypervisor
from pileus.drivers.libvirt.sources import IscsiSource, Secret
from pileus.drivers.pools.directory import DirectoryPool
from pileus.drivers.pools.pool import Place, Pool, Source, StoredInUse, Wanted
from pileus.drivers.pools.simulated import simulated_pool
from pileus.drivers.qemu_img.driver import QemuImg
from pileus.drivers.qemu_img.locks import is_written

from .test_libvirt import Bench, bench, daemon, runner

__all__ = ["bench", "daemon", "runner"]

MIB = 1 << 20


@pytest.fixture
def root() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="pileus-pools-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


def make(bench: Bench, root: Path) -> Pool:
    hypervisor, pool = bench.hypervisor, root / "pool"
    if isinstance(hypervisor, SimulatedHypervisor):
        made = simulated_pool(pool, 64 << 30, is_written=hypervisor.has_open, live=hypervisor)
    else:
        owner = qemu_owner()
        made = DirectoryPool(pool, QemuImg(user=owner), owner=owner, live=hypervisor, durable=False)
    bench.run(made.open())
    return made


def disk(place: Place, volume_id: str) -> Disk:
    return Disk(path=str(place.path), target="vdb", serial=volume_id, format=place.format)


def test_a_volume_of_a_running_machine(bench: Bench, root: Path) -> None:
    hypervisor, pool, spec = bench.hypervisor, make(bench, root), bench.spec()
    volume, snapshot, clone = (str(uuid4()) for _ in range(3))
    bench.run(pool.create(Wanted(volume_id=volume, size=8 * MIB)))
    first = bench.run(pool.place(volume))
    bench.run(hypervisor.ensure_defined([spec]))
    bench.run(hypervisor.start(spec.uuid))
    bench.run(hypervisor.attach_disk(spec.uuid, disk(first, volume)))
    bench.run(pool.extend(volume, 16 * MIB))
    bench.run(hypervisor.resize_disk(spec.uuid, volume, 16 * MIB))
    bench.run(pool.snapshot(volume, snapshot))
    second = bench.run(pool.place(volume))
    assert second.path != first.path
    assert str(second.path) in bench.run(hypervisor.definition(spec.uuid))
    bench.run(pool.clone(Wanted(volume_id=clone, size=16 * MIB), Source(volume_id=volume)))
    third = bench.run(pool.place(volume))
    assert third.path not in (first.path, second.path)
    if bench.is_real:
        assert is_written(third.path) and not is_written(second.path)
        assert bench.run(QemuImg().info(third.path, "qcow2")).size == 16 * MIB
    with pytest.raises(StoredInUse):
        bench.run(pool.delete(volume))
    bench.run(hypervisor.destroy(spec.uuid))
    bench.run(hypervisor.start(spec.uuid))
    assert str(third.path) in bench.run(hypervisor.definition(spec.uuid)), "it is found at its next start"
    bench.run(hypervisor.destroy(spec.uuid))
    bench.run(hypervisor.detach_disk(spec.uuid, volume))
    bench.run(pool.revert(volume, snapshot))
    for left in (volume, clone):
        bench.run(pool.delete(left))
    bench.run(pool.tidy())
    assert bench.run(pool.contents()).volumes == {}
    assert not list((root / "pool" / "volumes").iterdir())


def test_two_volumes_of_a_machine_are_kept_at_one_moment(bench: Bench, root: Path) -> None:
    hypervisor, pool, spec = bench.hypervisor, make(bench, root), bench.spec()
    volumes, quiet = [str(uuid4()) for _ in range(2)], str(uuid4())
    bench.run(hypervisor.ensure_defined([spec]))
    bench.run(hypervisor.start(spec.uuid))
    for volume, target in zip(volumes, ("vdb", "vdc"), strict=True):
        bench.run(pool.create(Wanted(volume_id=volume, size=8 * MIB)))
        one = disk(bench.run(pool.place(volume)), volume)
        bench.run(hypervisor.attach_disk(spec.uuid, msgspec.structs.replace(one, target=target)))
    bench.run(pool.create(Wanted(volume_id=quiet, size=8 * MIB)))
    wanted = {volume: str(uuid4()) for volume in (*volumes, quiet)}
    bench.run(pool.snapshot_all(wanted))
    definition = bench.run(hypervisor.definition(spec.uuid))
    for volume in volumes:
        assert str(bench.run(pool.place(volume)).path) in definition
    stored = bench.run(pool.contents()).volumes
    assert {key: list(one.snapshots) for key, one in stored.items()} == {
        key: [snapshot] for key, snapshot in wanted.items()
    }
    bench.run(hypervisor.destroy(spec.uuid))


def test_files_that_no_machine_has(bench: Bench, root: Path) -> None:
    hypervisor, spec = bench.hypervisor, bench.spec()
    nobody = root / "nobody"
    assert bench.run(hypervisor.resize_file(nobody, MIB)) is False
    assert bench.run(hypervisor.move_to_overlays({nobody: root / "overlay"})) == set()
    bench.run(hypervisor.ensure_defined([spec]))
    bench.run(hypervisor.resize_disk(spec.uuid, "none", MIB))
    bench.run(hypervisor.start(spec.uuid))
    with pytest.raises(HypervisorFailed, match="no disk"):
        bench.run(hypervisor.resize_disk(spec.uuid, "none", MIB))


@pytest.mark.real
def test_a_machine_opens_a_volume_of_another_host(bench: Bench) -> None:
    """By QEMU's own initiator, with a password that libvirt alone was told."""
    if not bench.is_real:
        pytest.skip("there are no bytes in the twin")
    if iscsi.missing_programs() or not any(Path("/usr/lib").glob("*/qemu/block-iscsi.so")):
        pytest.skip("not installed: tgt, or QEMU's initiator (qemu-block-extra)")
    hypervisor, spec = bench.hypervisor, bench.spec()
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="pi") as name:
        path = Path(name, "volume.raw")
        path.write_bytes(bytes(4 * MIB))
        tgt = iscsi.Tgt(Path(name, "t"), "127.0.0.1", 23261)
        place = Place(path=path, format="raw")
        login = bench.run(tgt.open(iscsi.IscsiExport(export_id="e1", place=place)))
        one = str(uuid4())
        source = IscsiSource(
            address="127.0.0.1",
            port=login.port,
            target=login.target,
            lun=login.lun,
            username=login.username,
            secret=one,
        )
        remote = Disk(path="", network=source, target="vdb", serial="v1", format="raw", cache="none")
        try:
            bench.run(hypervisor.ensure_defined([spec]))
            bench.run(hypervisor.start(spec.uuid))
            wrong = Secret(uuid=one, kind="iscsi", usage=f"pileus {one}", value=b"not the password")
            bench.run(hypervisor.ensure_secrets([wrong]))
            with pytest.raises(HypervisorFailed):
                bench.run(hypervisor.attach_disk(spec.uuid, remote))
            bench.run(
                hypervisor.ensure_secrets([msgspec.structs.replace(wrong, value=login.password.encode())])
            )
            bench.run(hypervisor.attach_disk(spec.uuid, remote))
            stats = bench.run(hypervisor.stats([spec.uuid]))[spec.uuid]
            assert {disk.target: disk.capacity_bytes for disk in stats.disks}["vdb"] == 4 * MIB
            assert login.password not in bench.run(hypervisor.definition(spec.uuid))
        finally:
            bench.run(hypervisor.destroy(spec.uuid))
            bench.run(hypervisor.drop_secrets([one]))
            bench.run(tgt.stop())


def test_secrets_may_be_told_twice_and_are_gone_when_they_are_dropped(bench: Bench) -> None:
    hypervisor, one, other = bench.hypervisor, str(uuid4()), str(uuid4())
    secret = Secret(uuid=one, kind="iscsi", usage=f"target {one}", value=b"secret")
    same_use = msgspec.structs.replace(secret, uuid=other)
    bench.run(hypervisor.ensure_secrets([secret]))
    bench.run(hypervisor.ensure_secrets([secret]))
    with pytest.raises(HypervisorFailed, match="already defined"):  # as long as the first is there
        bench.run(hypervisor.ensure_secrets([same_use]))
    bench.run(hypervisor.drop_secrets([one, str(uuid4())]))
    bench.run(hypervisor.ensure_secrets([same_use]))
    bench.run(hypervisor.drop_secrets([other]))
    bench.run(hypervisor.drop_secrets([other]))
