"""Machines of simulated hypervisors that go from one to another, over the same channels as real ones."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from pileus.core.names import path_part
from pileus.drivers.libvirt.domain import DomainSpec
from pileus.drivers.libvirt.hypervisor import (
    CHANNELS,
    CONTROL,
    DISKS,
    Change,
    Channel,
    HypervisorFailed,
    MigrationStats,
    Power,
)

_STEPS = 10
_LINE = 1 << 20


class Machine(msgspec.Struct):
    """A domain: ``wanted`` is its next start, ``running`` what it was started as."""

    wanted: DomainSpec
    power: Power = Power.OFF
    running: DomainSpec | None = None
    saved: bool = False
    digest: str = ""
    started_at: float = 0.0
    inside: dict[str, str] = msgspec.field(default_factory=dict)
    """Kept by the guest, on its disk."""
    comes: bool = False
    """Whether it has yet to come from another host: it goes with the connection that brings it."""


class _Leaver:
    """A machine that is about to leave."""

    def __init__(self, stats: MigrationStats) -> None:
        self.stats = stats
        self.aborted = False
        self.told = asyncio.Event()
        """Somebody does not want to wait any longer."""


class SimulatedLeaving:
    """The part of ``SimulatedHypervisor`` about machines that leave and come.

    ``migration_s``: how long one takes; ``restless``: machines that change so much that they do not get there
    by themselves.
    """

    _machines: dict[str, Machine]
    _machine: Callable[[str, str], Machine]
    _need_running: Callable[[str, Machine], None]
    _post: Callable[[Machine, Change, str], None]
    _store: Callable[[], None]

    def __init__(self) -> None:
        self.migration_s = 0.2
        self.restless: set[str] = set()
        self._leavers: dict[str, _Leaver] = {}
        self._ways: dict[str, Path] = {}
        self._expected: dict[str, DomainSpec] = {}
        self._bringing: dict[str, set[asyncio.Task[None]]] = {}

    # -- the host that a machine leaves

    async def way_out(self, way: str) -> Mapping[str, Path]:
        """See Hypervisor."""
        await self.way_closed(way)
        folder = self._ways[way] = Path(tempfile.mkdtemp(prefix="pileus-"))
        return {name: folder / path_part(name) for name in CHANNELS}

    async def stops_for_memory(self, uuid: str) -> bool:
        """See Hypervisor."""
        self._machine("stops_for_memory", uuid)
        return False

    async def migrate(self, uuid: str, way: str, folder: Path, new_folder: str) -> None:
        """See Hypervisor."""
        machine = self._machine("migrate", uuid)
        self._need_running("migrate", machine)
        assert machine.running is not None
        spec = machine.running
        leaver = self._leavers[uuid] = _Leaver(_nothing_yet(spec))
        writer = None
        try:
            reader, writer = await asyncio.open_unix_connection(str(self._ways[way] / CONTROL), limit=_LINE)
            moved = _moved(spec, folder, new_folder)
            await _ask(reader, writer, {"prepare": msgspec.to_builtins(moved)})
            for disk in spec.disks:
                if not disk.read_only:
                    await self._bring(way, disk.target, Path(disk.path))
            await self._converge(uuid, leaver)
            await self._hand_over(machine, reader, writer)
        except (OSError, asyncio.IncompleteReadError) as error:
            raise HypervisorFailed("migrate", f"the other host is gone: {error}") from error
        finally:
            del self._leavers[uuid]
            if writer is not None:
                writer.close()

    async def _bring(self, way: str, target: str, path: Path) -> None:
        reader, writer = await asyncio.open_unix_connection(str(self._ways[way] / DISKS), limit=_LINE)
        try:
            content = await asyncio.to_thread(_content, path)
            writer.write(msgspec.json.encode({"target": target, "size": len(content)}) + b"\n" + content)
            await writer.drain()
            if await reader.readline() != b"ok\n":
                raise HypervisorFailed("migrate", f"the disk {target} was not taken")
        finally:
            writer.close()

    async def _converge(self, uuid: str, leaver: _Leaver) -> None:
        total = leaver.stats
        for step in range(1, _STEPS + 1):
            await asyncio.sleep(self.migration_s / _STEPS)
            if uuid in self.restless and step == _STEPS:
                await leaver.told.wait()
            if leaver.aborted:
                raise HypervisorFailed("migrate", "operation aborted: migration out job: canceled by client")
            done = total.memory_total * step // _STEPS, total.disk_total * step // _STEPS
            leaver.stats = msgspec.structs.replace(
                total,
                memory_processed=done[0],
                memory_remaining=total.memory_total - done[0],
                disk_processed=done[1],
                disk_remaining=total.disk_total - done[1],
            )

    async def _hand_over(
        self, machine: Machine, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        power = machine.power
        machine.power = Power.PAUSED
        self._post(machine, Change.PAUSED, "migrated")
        try:
            await _ask(reader, writer, {"finish": {"power": power.value, "inside": machine.inside}})
        except BaseException:
            machine.power = power
            self._post(machine, Change.RESUMED, "migrated")
            raise
        machine.running, machine.power = None, Power.OFF
        self._post(machine, Change.STOPPED, "migrated")
        self._machines.pop(machine.wanted.uuid, None)
        self._post(machine, Change.UNDEFINED, "removed")
        self._store()

    async def migration_stats(self, uuid: str) -> MigrationStats | None:
        """See Hypervisor."""
        self._machine("migration_stats", uuid)
        leaver = self._leavers.get(uuid)
        return leaver.stats if leaver is not None else None

    async def abort_migration(self, uuid: str) -> None:
        """See Hypervisor."""
        self._machine("abort_migration", uuid)
        if (leaver := self._leavers.get(uuid)) is not None:
            leaver.aborted = True
            leaver.told.set()

    async def force_migration(self, uuid: str) -> None:
        """See Hypervisor."""
        self._machine("force_migration", uuid)
        if (leaver := self._leavers.get(uuid)) is not None:
            leaver.told.set()

    # -- the host that it comes to

    async def expect(self, way: str, spec: DomainSpec) -> None:
        """See Hypervisor."""
        self._expected[way] = spec

    async def channel(self, way: str, name: str) -> Channel:
        """See Hypervisor."""
        expected = self._expected[way]
        ours, theirs = socket.socketpair()
        inner = await asyncio.open_connection(sock=ours, limit=_LINE)
        work = {CONTROL: self._come, DISKS: self._take}[name](expected, *inner)
        task = asyncio.create_task(work)
        tasks = self._bringing.setdefault(way, set())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return await asyncio.open_connection(sock=theirs)

    async def _come(
        self, expected: DomainSpec, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        machine = None
        try:
            said = msgspec.json.decode(await reader.readuntil(b"\n"))
            spec = msgspec.convert(said["prepare"], DomainSpec)
            if (spec.uuid, spec.name, spec.disks) != (expected.uuid, expected.name, expected.disks):
                return await _answer(writer, {"error": "another machine was expected"})
            machine = self._machines[spec.uuid] = Machine(spec, Power.PAUSED, spec, comes=True)
            self._post(machine, Change.STARTED, "migrated")
            await _answer(writer, {})
            said = msgspec.json.decode(await reader.readuntil(b"\n"))
            machine.power, machine.inside = Power(said["finish"]["power"]), said["finish"]["inside"]
            machine.comes = False
            self._store()
            self._post(machine, Change.RESUMED, "migrated")
            await _answer(writer, {})
        except (OSError, asyncio.IncompleteReadError):
            return None
        finally:
            writer.close()
            if machine is not None and machine.comes:
                self._machines.pop(machine.wanted.uuid, None)
                self._post(machine, Change.STOPPED, "failed")
                self._post(machine, Change.UNDEFINED, "removed")

    async def _take(
        self, expected: DomainSpec, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            said = msgspec.json.decode(await reader.readuntil(b"\n"))
            content = await reader.readexactly(said["size"])
            for disk in expected.disks:
                if disk.target == said["target"]:
                    await asyncio.to_thread(Path(disk.path).write_bytes, content)
                    writer.write(b"ok\n")
                    await writer.drain()
        writer.close()

    async def way_closed(self, way: str) -> None:
        """See Hypervisor."""
        self._expected.pop(way, None)
        tasks = self._bringing.pop(way, set())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if (folder := self._ways.pop(way, None)) is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _nothing_yet(spec: DomainSpec) -> MigrationStats:
    memory = spec.memory_mib << 20
    sizes = [Path(disk.path).stat().st_size for disk in spec.disks if Path(disk.path).exists()]
    return MigrationStats(
        memory_total=memory, memory_remaining=memory, disk_total=sum(sizes), disk_remaining=sum(sizes)
    )


def _moved(spec: DomainSpec, folder: Path, new_folder: str) -> DomainSpec:
    """The machine with its files below another folder."""

    def moved(path: str) -> str:
        return new_folder + path[len(str(folder)) :] if path.startswith(f"{folder}/") else path

    disks = tuple(msgspec.structs.replace(disk, path=moved(disk.path)) for disk in spec.disks)
    log = moved(spec.console_log) if spec.console_log is not None else None
    return msgspec.structs.replace(spec, disks=disks, console_log=log)


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, said: dict[str, Any]) -> None:
    writer.write(msgspec.json.encode(said) + b"\n")
    await writer.drain()
    answer = msgspec.json.decode(await reader.readuntil(b"\n"))
    if "error" in answer:
        raise HypervisorFailed("migrate", answer["error"])


async def _answer(writer: asyncio.StreamWriter, said: dict[str, Any]) -> None:
    writer.write(msgspec.json.encode(said) + b"\n")
    await writer.drain()
