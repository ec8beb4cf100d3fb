"""Migrations through libvirt: the two ends of the channels, and the call that brings a machine over.

libvirt's daemon of the other host is spoken to through the channel ``control``. QEMU itself connects for
``memory`` and ``disks``, by the names of Unix sockets that mean this host's own on each host: what one
listens at there is carried to by whoever listens here (https://libvirt.org/migration.html, "unix").
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import stat
from collections.abc import Mapping
from pathlib import Path

import libvirt

from pileus.core import log
from pileus.core.names import path_part
from pileus.drivers.libvirt import daemon
from pileus.drivers.libvirt.connection import Connection
from pileus.drivers.libvirt.domain import DomainSpec
from pileus.drivers.libvirt.hypervisor import (
    CONTROL,
    DISKS,
    MEMORY,
    Channel,
    HypervisorFailed,
    MigrationStats,
)
from pileus.drivers.libvirt.migration import (
    Gate,
    Sockets,
    Trespass,
    is_emulated,
    moved_description,
    writable_disks,
)

_log = log.get("drivers.libvirt")

_FOLDER = "pileus-migrations"
_CHUNK = 1 << 18
_APPEARS_WITHIN_S = 10.0
_TRACKS_EMULATED = 9000000
_DOWNTIME_MS = 100
"""For how long the guest may be stopped by the last part of its memory."""
_OF_EACH = ("total", "processed", "remaining")
_FLAGS = (
    libvirt.VIR_MIGRATE_LIVE
    | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
    | libvirt.VIR_MIGRATE_NON_SHARED_DISK
    | libvirt.VIR_MIGRATE_ABORT_ON_ERROR
    | libvirt.VIR_MIGRATE_AUTO_CONVERGE
)


class Leaving:
    """The part of ``LibvirtHypervisor`` about machines that leave and come. ``uri``: which libvirt."""

    def __init__(self, uri: str, connection: Connection) -> None:
        self._uri = uri
        self._connection = connection
        self._gates: dict[str, tuple[DomainSpec, set[asyncio.Task[None]]]] = {}
        self._hurried: set[str] = set()
        self._ways_forgotten = False

    # -- the host that a machine leaves

    async def way_out(self, way: str) -> Mapping[str, Path]:
        """See Hypervisor."""
        folder = await asyncio.to_thread(self._furnish, way, False)
        return {CONTROL: folder / "control", MEMORY: folder / "memory", DISKS: folder / "disks"}

    async def stops_for_memory(self, uuid: str) -> bool:
        """See Hypervisor. QEMU before 9.0 forgets writes of emulated processors while it copies memory: it
        clears the marks of pages and not what their TLBs know of these."""

        def work(here: libvirt.virConnect) -> bool:
            if int(here.getVersion()) >= _TRACKS_EMULATED:
                return False
            return is_emulated(here.lookupByUUIDString(uuid).XMLDesc())

        return await self._connection.call("stops_for_memory", work)

    async def migrate(self, uuid: str, way: str, folder: Path, new_folder: str) -> None:
        """See Hypervisor."""
        sockets = Sockets(f"{daemon.INSIDE}/{_FOLDER}/{path_part(way)}")
        control = self._outside(way) / "control"

        def work(here: libvirt.virConnect) -> None:
            domain = here.lookupByUUIDString(uuid)
            there = libvirt.open(f"qemu+unix:///system?socket={control}")
            try:
                live = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_MIGRATABLE)
                parameters = {
                    libvirt.VIR_MIGRATE_PARAM_URI: sockets.memory,
                    libvirt.VIR_MIGRATE_PARAM_DISKS_URI: sockets.disks,
                    libvirt.VIR_MIGRATE_PARAM_DEST_XML: moved_description(live, str(folder), new_folder),
                    libvirt.VIR_MIGRATE_PARAM_MIGRATE_DISKS: writable_disks(live),
                }
                domain.migrate3(there, parameters, _FLAGS)
            finally:
                with contextlib.suppress(libvirt.libvirtError):
                    there.close()

        # It takes as long as it takes, and may not hold one of the few threads that all others need.
        try:
            await self._connection.call("migrate", work, apart=True)
        finally:
            self._hurried.discard(uuid)

    async def migration_stats(self, uuid: str) -> MigrationStats | None:
        """See Hypervisor."""

        def work(here: libvirt.virConnect) -> MigrationStats | None:
            domain = here.lookupByUUIDString(uuid)
            said = domain.jobStats()
            if said.get("type", 0) == libvirt.VIR_DOMAIN_JOB_NONE:
                return None
            if uuid not in self._hurried:
                with contextlib.suppress(libvirt.libvirtError):  # QEMU has not begun
                    domain.migrateSetMaxDowntime(_DOWNTIME_MS, 0)
                    self._hurried.add(uuid)
            names = [f"{kind}_{name}" for kind in ("memory", "disk") for name in _OF_EACH]
            return MigrationStats(**{name: said.get(name, 0) for name in names})

        return await self._connection.call("migration_stats", work)

    async def abort_migration(self, uuid: str) -> None:
        """See Hypervisor."""

        def work(here: libvirt.virConnect) -> None:
            domain = here.lookupByUUIDString(uuid)
            if domain.jobInfo()[0] != libvirt.VIR_DOMAIN_JOB_NONE:
                domain.abortJob()

        await self._connection.call("abort_migration", work)

    async def force_migration(self, uuid: str) -> None:
        """See Hypervisor."""

        def work(here: libvirt.virConnect) -> None:
            domain = here.lookupByUUIDString(uuid)
            if domain.jobInfo()[0] != libvirt.VIR_DOMAIN_JOB_NONE:
                domain.suspend()

        await self._connection.call("force_migration", work)

    # -- the host that it comes to

    async def expect(self, way: str, spec: DomainSpec) -> None:
        """See Hypervisor."""
        await asyncio.to_thread(self._furnish, way, True)
        self._gates[way] = (spec, set())

    async def channel(self, way: str, name: str) -> Channel:
        """See Hypervisor."""
        spec, tasks = self._gates[way]
        if name != CONTROL:
            return await self._appeared(self._outside(way) / {MEMORY: "memory", DISKS: "disks"}[name])
        there = await asyncio.open_unix_connection(str(daemon.socket_of(self._uri)))
        ours, theirs = socket.socketpair()
        inner = await asyncio.open_connection(sock=ours)
        sockets = Sockets(f"{daemon.INSIDE}/{_FOLDER}/{path_part(way)}")
        task = asyncio.create_task(_guarded(inner, there, Gate(spec, sockets.memory, sockets.disks)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return await asyncio.open_connection(sock=theirs)

    async def _appeared(self, path: Path) -> Channel:
        """Connect to a socket that QEMU is about to make. Nothing that it has put there is followed."""
        async with asyncio.timeout(_APPEARS_WITHIN_S):
            while True:
                with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
                    try:
                        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                            raise HypervisorFailed("channel", f"{path} is no socket")
                        return await asyncio.open_unix_connection(f"/proc/self/fd/{descriptor}")
                    finally:
                        os.close(descriptor)
                await asyncio.sleep(0.02)

    async def way_closed(self, way: str) -> None:
        """See Hypervisor."""
        if way in self._gates:
            _, tasks = self._gates.pop(way)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(shutil.rmtree, self._outside(way), ignore_errors=True)

    async def _forget_ways(self) -> None:
        """Remove what a process before this one left of ways: its migrations were given up, or need no more
        than what is connected."""
        if not self._ways_forgotten:
            self._ways_forgotten = True
            await asyncio.to_thread(shutil.rmtree, daemon.state_of(self._uri) / _FOLDER, ignore_errors=True)

    def _outside(self, way: str) -> Path:
        return daemon.state_of(self._uri) / _FOLDER / path_part(way)

    def _furnish(self, way: str, for_qemu: bool) -> Path:
        """Make the folder of a way: QEMU makes the sockets of a machine that comes, and only connects for one
        that leaves."""
        folder = self._outside(way)
        folder.parent.mkdir(mode=0o711, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o711)
        if for_qemu:
            os.chown(folder, *daemon.qemu_owner())
        return folder


async def _guarded(host: Channel, hypervisor: Channel, gate: Gate) -> None:
    """Carry what another host says to libvirt, as far as it may, and the answers back."""

    async def ask() -> None:
        with contextlib.suppress(OSError):
            while data := await host[0].read(_CHUNK):
                try:
                    hypervisor[1].write(gate.take(data))
                except Trespass as trespass:
                    _log.warning("another host is refused what it asks of libvirt", asked=str(trespass))
                    return
                await hypervisor[1].drain()

    async def answer() -> None:
        with contextlib.suppress(OSError):
            while data := await hypervisor[0].read(_CHUNK):
                host[1].write(data)
                await host[1].drain()

    tasks = [asyncio.ensure_future(ask()), asyncio.ensure_future(answer())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _, writer in (host, hypervisor):
            writer.close()
