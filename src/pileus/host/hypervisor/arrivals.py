"""Machines that come to this host from another one while they run.

One that the server says is to come gets a folder, a record and its taps, and the other host is let in. That
one says how large the disks are, brings small files (the config drive, the console's log), and then the
hypervisors speak with each other. When the machine runs here the server is told; from then on it is as any
other. One that is no longer to come is taken apart as any machine that nobody wants.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pileus.core import log
from pileus.drivers.libvirt.domain import DomainSpec
from pileus.drivers.libvirt.hypervisor import CHANNELS, Hypervisor, HypervisorFailed, Power
from pileus.drivers.qemu_img.images import Images
from pileus.host.hypervisor.carrying import make_private, remove
from pileus.host.hypervisor.machine import domain_spec
from pileus.host.hypervisor.passage import CHUNK, Door, Identity, Streams, join, say
from pileus.host.hypervisor.records import Instance, InstanceBook, Places
from pileus.host.hypervisor.settings import NodeSettings
from pileus.wire.hypervisor import Incoming, OperationReport, ServerDetails

_log = log.get("host.hypervisor")

_GIB = 1 << 30
_LARGEST_FILE = 64 << 20
_HEARS_WITHIN_S = 10.0
_HERE = (Power.RUNNING, Power.PAUSED)


class _Arrival:
    def __init__(self, incoming: Incoming, spec: DomainSpec) -> None:
        self.incoming = incoming
        self.spec = spec
        self.door: Door | None = None
        self.here = False


def _key(incoming: Incoming) -> tuple[str, str]:
    """The part that stays the same (the server's details have tickets that are new at each look)."""
    return incoming.operation_id, incoming.certificate


class Arrivals:
    """Servers that are let in to this host. ``tell`` takes what the server is to hear."""

    def __init__(
        self,
        settings: NodeSettings,
        identity: Identity,
        book: InstanceBook,
        hypervisor: Hypervisor,
        images: Images,
        tell: Callable[[OperationReport], None],
    ) -> None:
        self._settings = settings
        self._identity = identity
        self._book = book
        self._hypervisor = hypervisor
        self._images = images
        self._tell = tell
        self._open: dict[str, _Arrival] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def settle(self, wanted: Mapping[str, Incoming], unplugged: Mapping[str, str]) -> int:
        """Let in those that are to come, and nobody else; how many changed. ``unplugged``: those whose ports
        could not be made, with the reason."""
        changes = 0
        for server_id, arrival in list(self._open.items()):
            incoming = wanted.get(server_id)
            if incoming is None or _key(incoming) != _key(arrival.incoming):
                await self._close(server_id)
                changes += 1
        for server_id, incoming in wanted.items():
            if server_id in self._open:
                continue
            changes += 1
            try:
                if server_id in unplugged:
                    raise OSError(unplugged[server_id])
                await self._let_in(incoming)
            except (OSError, ValueError, HypervisorFailed) as error:
                _log.warning("a server can't come to this host", server=server_id, error=str(error))
                await self._close(server_id)
                self._tell(OperationReport(incoming.operation_id, f"It can't be taken: {error}"))
        return changes

    async def close(self) -> None:
        """Let nobody in any more."""
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        for server_id in list(self._open):
            await self._close(server_id)

    async def arrived(self, server_id: str) -> None:
        """The hypervisor says that a machine runs here that has come."""
        arrival = self._open.get(server_id)
        if arrival is None:
            return
        server = arrival.incoming.server
        arrival.here = True
        await asyncio.to_thread(self._note, server, True)
        _log.info("a server has come", server=server_id)
        self._tell(OperationReport(arrival.incoming.operation_id, None, {"arrived": True}))

    async def _let_in(self, incoming: Incoming) -> None:
        server = incoming.server
        spec = domain_spec(server, self._book.places(server.server_id), self._settings)
        arrival = self._open[server.server_id] = _Arrival(incoming, spec)
        here = {state.uuid: state.power for state in await self._hypervisor.list_domains()}
        instance = self._book.get(server.server_id)
        if instance is not None and instance.built and here.get(server.server_id) in _HERE:
            self._tell(OperationReport(incoming.operation_id, None, {"arrived": True}))
            return  # it came while nobody looked
        await asyncio.to_thread(self._note, server, False)
        await self._hypervisor.expect(incoming.operation_id, spec)

        async def answer(request: dict[str, Any], streams: Streams) -> None:
            await self._answer(arrival, request, streams)

        arrival.door = Door(answer)
        context = self._identity.context(incoming.certificate, listens=True)
        await arrival.door.open(self._settings.migration_address, self._settings.migration_ports, context)
        door = {
            "address": self._settings.migration_address,
            "port": arrival.door.port,
            "folder": str(self._book.places(server.server_id).folder),
        }
        self._tell(OperationReport(incoming.operation_id, None, door))

    def _note(self, server: ServerDetails, here: bool) -> None:
        """Write the machine's record: one that is not here yet is a beginning."""
        now = Instance(
            server.server_id,
            server.generation,
            built=here,
            applied=server.wanted if here else "",
            comes=not here,
            boot_id=self._settings.boot_id if here else "",
        )
        if self._book.get(server.server_id) != now:
            self._book.put(now, matters=here)

    async def _close(self, server_id: str) -> None:
        arrival = self._open.pop(server_id, None)
        if arrival is None:
            return
        if not arrival.here:
            await self._shut(arrival, 0.0)
            return
        # The other host has yet to hear that it has come, or it would take it back.
        task = asyncio.create_task(self._shut(arrival, _HEARS_WITHIN_S))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _shut(self, arrival: _Arrival, linger_s: float) -> None:
        if arrival.door is not None:
            await arrival.door.close(linger_s=linger_s)
        await self._hypervisor.way_closed(arrival.incoming.operation_id)

    # -- what the other host asks for

    async def _answer(self, arrival: _Arrival, request: dict[str, Any], streams: Streams) -> None:
        places = self._book.places(arrival.incoming.server.server_id)
        if arrival.here and request.get("ask") in ("prepare", "file"):
            raise ValueError("the machine is here: nothing is put into its place")
        match request.get("ask"), request.get("channel"):
            case "prepare", None:
                await self._prepare(arrival, places, request.get("disks") or {})
                await say(streams[1], {})
            case "file", None:
                await _take_file(places, str(request.get("name")), int(request.get("size") or 0), streams[0])
                await say(streams[1], {})
            case "power", None:
                states = await self._hypervisor.list_domains()
                power = {state.uuid: state.power.value for state in states}.get(arrival.spec.uuid)
                instance = self._book.get(arrival.spec.uuid)
                here = power is not None and instance is not None and instance.built
                await say(streams[1], {"power": power, "here": here})
            case None, str(channel) if channel in CHANNELS:
                way = arrival.incoming.operation_id
                await join(streams, await self._hypervisor.channel(way, channel))
            case _:
                raise ValueError("there is no such question")

    async def _prepare(self, arrival: _Arrival, places: Places, sizes: Mapping[str, Any]) -> None:
        """Make empty disks, as large as those that are to be copied into them."""
        server = arrival.incoming.server
        known = {str(places.root_disk): server.root_gib, str(places.ephemeral_disk): server.ephemeral_gib}
        for disk in arrival.spec.disks:
            if disk.read_only:
                continue
            gib = known.get(disk.path, 0)
            size = int(sizes.get(disk.target) or 0) or gib * _GIB or _GIB
            if gib and size > gib * _GIB:
                raise ValueError(f"the disk {disk.target} has {size} bytes, and its flavor says {gib} GiB")
            path = Path(disk.path)
            remove(path)
            await self._images.create(path, "qcow2", size)
            make_private(path)


async def _take_file(places: Places, name: str, size: int, reader: asyncio.StreamReader) -> None:
    """Take a small file of a machine that is no disk to be copied."""
    own = (places.config_drive, places.console, places.kernel, places.ramdisk)
    paths = {path.name: path for path in own}
    if name not in paths or not 0 <= size <= _LARGEST_FILE:
        raise ValueError(f"the file {name} of {size} bytes is not taken")
    content = bytearray()
    while len(content) < size:
        piece = await reader.read(min(CHUNK, size - len(content)))
        if not piece:
            raise ValueError(f"the file {name} came to no end")
        content += piece
    await asyncio.to_thread(_write, paths[name], bytes(content))


def _write(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.touch(0o600)
    path.write_bytes(content)
