"""A machine that runs goes from one hypervisor to another: the same questions to libvirt and to its twin."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from tests.contract.test_libvirt import Bench, daemon, guest_disk, runner, why_not_real

from pileus.drivers.libvirt.daemon import LibvirtDaemon, qemu_owner
from pileus.drivers.libvirt.domain import Disk, DomainSpec
from pileus.drivers.libvirt.hypervisor import (
    Change,
    DomainMissing,
    Hypervisor,
    HypervisorFailed,
    Power,
)
from pileus.drivers.libvirt.simulated import SimulatedHypervisor

__all__ = ["daemon", "runner"]

WAY = "11111111-1111-4000-8000-000000000001"


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 18):
                writer.write(data)
                await writer.drain()
    finally:
        writer.close()


class Pair:
    """Two hypervisors, and whoever carries between them."""

    def __init__(self, here: Bench, there: Bench) -> None:
        self.here, self.there = here, there
        self.run = here.run
        self.servers: list[asyncio.Server] = []
        self.tasks: set[asyncio.Task[None]] = set()
        for bench in (here, there):
            (bench.folder / "m").mkdir()
            (bench.folder / "m").chmod(0o711)

    def machine(self, content: bytes = b"the content of a disk") -> tuple[DomainSpec, DomainSpec]:
        """A machine that runs here, and as it is to be there."""
        spec = self.here.spec()
        raw, disk = self.here.folder / "raw", self.here.folder / "m" / "disk"
        guest_disk(raw)
        with raw.open("ab") as file:
            file.write(content)
        if self.here.is_real:
            subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, disk], check=True)
            size = str(raw.stat().st_size // 512 * 512 + 512)
            subprocess.run(["qemu-img", "resize", "-q", disk, size], check=True)
            new = self.there.folder / "m" / "disk"
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", new, size], check=True)
        else:
            shutil.copyfile(raw, disk)
        (self.here.folder / "m" / "config").write_bytes(bytes(1 << 20))
        shutil.copyfile(self.here.folder / "m" / "config", self.there.folder / "m" / "config")

        def at(bench: Bench) -> DomainSpec:
            folder = bench.folder / "m"
            own = Disk(path=str(folder / "disk"), target="vda", serial="root", boot=1)
            config = Disk(
                path=str(folder / "config"), target="vdz", serial="config", format="raw", read_only=True
            )
            return msgspec.structs.replace(spec, disks=(own, config), console_log=str(folder / "console.log"))

        here = at(self.here)
        self.there.specs.append(here.uuid)
        self.run(self.here.hypervisor.ensure_defined([here]))
        self.run(self.here.hypervisor.start(here.uuid))
        return here, at(self.there)

    async def lay(self, expected: DomainSpec) -> None:
        """Get both ready, and carry between them."""
        await self.there.hypervisor.expect(WAY, expected)
        for name, path in (await self.here.hypervisor.way_out(WAY)).items():

            async def connected(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str = name
            ) -> None:
                other = await self.there.hypervisor.channel(WAY, name)
                for task in (pump(reader, other[1]), pump(other[0], writer)):
                    self.tasks.add(asyncio.create_task(task))

            self.servers.append(await asyncio.start_unix_server(connected, str(path)))
            if os.geteuid() == 0:
                os.chown(path, *qemu_owner())

    async def migrate(self, spec: DomainSpec) -> None:
        folder, new = self.here.folder / "m", str(self.there.folder / "m")
        await self.here.hypervisor.migrate(spec.uuid, WAY, folder, new)

    async def cut(self) -> None:
        for server in self.servers:
            server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def close(self) -> None:
        async def forget() -> None:
            await self.cut()
            for bench in (self.here, self.there):
                await bench.hypervisor.way_closed(WAY)

        self.run(forget())
        for bench in (self.here, self.there):
            bench.close()


@pytest.fixture(scope="module")
def other_daemon(runner: asyncio.Runner) -> Iterator[LibvirtDaemon]:
    root = Path(tempfile.mkdtemp(prefix="plv-"))
    other = LibvirtDaemon(root)
    runner.run(other.start())
    yield other
    runner.run(other.stop())
    shutil.rmtree(root)


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.real)])
def pair(request: pytest.FixtureRequest, runner: asyncio.Runner) -> Iterator[Pair]:
    if request.param == "real" and (reason := why_not_real()) is not None:
        pytest.skip(reason)
    folders = [Path(tempfile.mkdtemp(prefix="plvd-")) for _ in range(2)]
    makes: list[Callable[[], Hypervisor]] = [
        lambda folder=folder: SimulatedHypervisor(folder / "state.json")  # type: ignore[misc]
        for folder in folders
    ]
    if request.param == "real":
        from pileus.drivers.libvirt.driver import LibvirtHypervisor

        uris = [request.getfixturevalue(name).uri for name in ("daemon", "other_daemon")]
        makes = [lambda uri=uri: LibvirtHypervisor(uri) for uri in uris]  # type: ignore[misc]
    for folder in folders:
        folder.chmod(0o755)
    here, there = (Bench(runner, folder, make) for folder, make in zip(folders, makes, strict=True))
    made = Pair(here, there)
    yield made
    made.close()
    for folder in folders:
        shutil.rmtree(folder)


async def until_under_way(hypervisor: Hypervisor, spec: DomainSpec) -> None:
    async with asyncio.timeout(30):
        while await hypervisor.migration_stats(spec.uuid) is None:
            await asyncio.sleep(0.01)


def test_it_goes_with_the_content_of_its_disks(pair: Pair) -> None:
    here, there = pair.machine(os.urandom(2 << 20))
    content = (pair.here.folder / "raw").read_bytes()

    async def story() -> list[int]:
        await pair.lay(there)
        moving = asyncio.create_task(pair.migrate(here))
        totals = []
        while not moving.done():
            with contextlib.suppress(DomainMissing):
                stats = await pair.here.hypervisor.migration_stats(here.uuid)
                totals.append(stats.memory_total + stats.disk_total if stats is not None else 0)
            await asyncio.sleep(0.05)
        await moving
        return totals

    assert max(pair.run(story())) > 2 << 20
    assert pair.here.power(here) is None
    assert pair.there.power(there) is Power.RUNNING
    stopped = [event for event in pair.here.until(Change.STOPPED, here) if event.change is Change.PAUSED]
    assert [event.detail for event in stopped] == ["migrated"]
    came = pair.there.until(Change.RESUMED, there)
    assert [event.detail for event in came if event.change is Change.STARTED] == ["migrated"]
    assert came[-1].detail == "migrated"
    assert pair.run(pair.there.hypervisor.ensure_defined([there])) == [there.uuid], "its host defines it"
    pair.run(pair.there.hypervisor.destroy(there.uuid))
    disk, read = pair.there.folder / "m" / "disk", pair.there.folder / "read"
    if pair.there.is_real:
        subprocess.run(["qemu-img", "convert", "-O", "raw", disk, read], check=True)
    else:
        shutil.copyfile(disk, read)
    assert read.read_bytes()[: len(content)] == content
    pair.run(pair.there.hypervisor.start(there.uuid))


def test_a_paused_one_stays_so(pair: Pair) -> None:
    here, there = pair.machine()
    pair.run(pair.here.hypervisor.suspend(here.uuid))

    async def story() -> None:
        await pair.lay(there)
        await pair.migrate(here)

    pair.run(story())
    assert pair.there.power(there) is Power.PAUSED
    pair.run(pair.there.hypervisor.resume(there.uuid))
    assert pair.there.power(there) is Power.RUNNING


@pytest.mark.parametrize("way", ["abort", "cut"])
def test_it_stays_where_it_is_aborted_or_the_line_breaks(pair: Pair, way: str) -> None:
    here, there = pair.machine()
    hypervisor = pair.here.hypervisor
    if isinstance(hypervisor, SimulatedHypervisor):
        hypervisor.restless.add(here.uuid)

    async def story() -> None:
        await hypervisor.abort_migration(here.uuid)  # nothing to abort yet
        await pair.lay(there)
        moving = asyncio.create_task(pair.migrate(here))
        await until_under_way(hypervisor, here)
        if way == "abort":
            while not moving.done():
                with contextlib.suppress(HypervisorFailed):
                    await hypervisor.abort_migration(here.uuid)
                await asyncio.sleep(0.05)
        else:
            await pair.cut()
            if isinstance(hypervisor, SimulatedHypervisor):
                await hypervisor.force_migration(here.uuid)
        with pytest.raises(HypervisorFailed):
            await moving
        assert await hypervisor.migration_stats(here.uuid) is None

    pair.run(story())
    assert pair.here.power(here) is Power.RUNNING
    pair.here.wait(lambda: pair.there.power(there) is None)


def test_emulated_ones_stand_still_where_the_hypervisor_forgets_what_they_write(pair: Pair) -> None:
    here, _ = pair.machine()
    version = pair.run(pair.here.hypervisor.host()).version
    stands_still = pair.run(pair.here.hypervisor.stops_for_memory(here.uuid))
    assert stands_still == (pair.here.is_real and version < 9000000)


def test_one_that_does_not_get_there_by_itself_is_forced(pair: Pair) -> None:
    here, there = pair.machine()
    hypervisor = pair.here.hypervisor
    if isinstance(hypervisor, SimulatedHypervisor):
        hypervisor.restless.add(here.uuid)

    async def story() -> None:
        await pair.lay(there)
        moving = asyncio.create_task(pair.migrate(here))
        await until_under_way(hypervisor, here)
        await hypervisor.force_migration(here.uuid)
        await moving

    pair.run(story())
    assert pair.there.power(there) is Power.RUNNING


def test_nothing_but_what_was_expected_comes(pair: Pair) -> None:
    here, there = pair.machine()
    (own, config) = there.disks
    elsewhere = msgspec.structs.replace(own, path="/etc/passwd")

    async def story() -> None:
        await pair.lay(msgspec.structs.replace(there, disks=(elsewhere, config)))
        with pytest.raises(HypervisorFailed):
            await pair.migrate(here)

    pair.run(story())
    assert pair.here.power(here) is Power.RUNNING
    assert pair.there.power(there) is None
