"""Exports of volumes: how whoever is to have a volume opens it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pileus.drivers.pools.pool import Place
from pileus.host.blockdev.hands import Refused
from pileus.host.blockdev.pools import PoolParts
from pileus.wire.connections import BLOCK, FILE, NBD, VolumeConnection
from pileus.wire.volume import VolumeExport


class Exporter(Protocol):
    """A way for other hosts to open what lies in a pool."""

    kind: str

    async def open(self, volume_id: str, place: Place, export: VolumeExport) -> VolumeConnection: ...

    async def close(self, volume_id: str, export_id: str) -> None: ...


class SimulatedNbd:
    """Says where an export would be."""

    kind = NBD

    async def open(self, volume_id: str, place: Place, export: VolumeExport) -> VolumeConnection:
        """See Exporter."""
        return VolumeConnection(kind=NBD, address="127.0.0.1", port=10809, name=volume_id)

    async def close(self, volume_id: str, export_id: str) -> None:
        """See Exporter."""


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
                return await exporter.open(volume_id, place, export)
        raise Refused(f"The pool {parts.name} can't be opened from the host {export.host} yet.")

    async def close(self, volume_id: str, export_id: str) -> None:
        """Let it be opened no more."""
        for exporter in self._exporters.values():
            await exporter.close(volume_id, export_id)


def _own(place: Place) -> str:
    return BLOCK if place.block else FILE
