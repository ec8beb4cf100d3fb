"""Exports of volumes: how whoever is to have a volume opens it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from pileus.drivers.exports.errors import ExportFailed
from pileus.drivers.exports.iscsi import IscsiExport, IscsiServers
from pileus.drivers.pools.pool import Place
from pileus.host.blockdev.hands import Refused
from pileus.host.blockdev.pools import PoolParts
from pileus.wire.connections import BLOCK, FILE, ISCSI, NBD, VolumeConnection
from pileus.wire.volume import VolumeExport


class Exporter(Protocol):
    """A way for other hosts to open what lies in a pool."""

    kind: str

    async def open(self, volume_id: str, place: Place, export: VolumeExport) -> VolumeConnection: ...

    async def close(self, export_id: str) -> None: ...

    async def found(self) -> Collection[str]:
        """The exports that are open, whoever opened them."""


class SimulatedNbd:
    """Says where an export would be."""

    kind = NBD

    def __init__(self) -> None:
        self._open: set[str] = set()

    async def open(self, volume_id: str, place: Place, export: VolumeExport) -> VolumeConnection:
        """See Exporter."""
        self._open.add(export.export_id)
        return VolumeConnection(kind=NBD, address="127.0.0.1", port=10809, name=volume_id)

    async def close(self, export_id: str) -> None:
        """See Exporter."""
        self._open.discard(export_id)

    async def found(self) -> Collection[str]:
        """See Exporter."""
        return set(self._open)


class IscsiExporter:
    """Exports by iSCSI at an address of this node."""

    kind = ISCSI

    def __init__(self, servers: IscsiServers, address: str) -> None:
        self._servers = servers
        self._address = address

    async def open(self, volume_id: str, place: Place, export: VolumeExport) -> VolumeConnection:
        """See Exporter."""
        login = await self._servers.open(
            IscsiExport(
                export_id=export.export_id,
                place=place,
                initiator=export.initiator,
                read_only=export.read_only,
            )
        )
        return VolumeConnection(
            kind=ISCSI,
            address=self._address,
            port=login.port,
            name=login.target,
            lun=login.lun,
            username=login.username,
            password=login.password,
        )

    async def close(self, export_id: str) -> None:
        """See Exporter."""
        await self._servers.close(export_id)

    async def found(self) -> Collection[str]:
        """See Exporter."""
        return await self._servers.found()


class Exports:
    """The exports of one node, by the volumes of its pools. A hypervisor of the node itself opens files and
    devices, which costs nothing."""

    def __init__(self, host: str, exporters: Sequence[Exporter] = ()) -> None:
        self._host = host
        self._exporters = {one.kind: one for one in exporters}

    async def open(self, parts: PoolParts, volume_id: str, export: VolumeExport) -> VolumeConnection:
        """Let a volume be opened; what is open already is only told again. Raises Refused."""
        place = await parts.pool.place(volume_id)
        if export.host == self._host and (kind := _own(place)) in (export.protocols or (kind,)):
            return VolumeConnection(kind=kind, path=str(place.path), disk_format=place.format)
        for kind in export.protocols:
            if (exporter := self._exporters.get(kind)) is not None:
                try:
                    return await exporter.open(volume_id, place, export)
                except ExportFailed as error:
                    raise Refused(str(error)) from error
        raise Refused(f"The pool {parts.name} can't be opened from the host {export.host} yet.")

    async def close(self, export_id: str) -> None:
        """Let it be opened no more."""
        for exporter in self._exporters.values():
            await exporter.close(export_id)

    async def close_others(self, wanted: Collection[str]) -> int:
        """Close those that nobody wants; how many."""
        done = 0
        for exporter in self._exporters.values():
            for export_id in [one for one in await exporter.found() if one not in wanted]:
                await exporter.close(export_id)
                done += 1
        return done

    async def lost(self, held: Mapping[str, VolumeConnection]) -> set[str]:
        """Those that were opened for other hosts, and are open no more."""
        remote = {key: one.kind for key, one in held.items() if one.kind in self._exporters}
        found = {kind: await self._exporters[kind].found() for kind in set(remote.values())}
        return {key for key, kind in remote.items() if key not in found[kind]}


def _own(place: Place) -> str:
    return BLOCK if place.block else FILE
