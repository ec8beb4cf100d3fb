"""Exports of volumes: how whoever is to have a volume opens it."""

from __future__ import annotations

from pileus.drivers.pools.pool import Place
from pileus.host.blockdev.hands import Refused
from pileus.host.blockdev.pools import PoolParts
from pileus.wire.volume import BLOCK, FILE, VolumeConnection, VolumeExport


class Exports:
    """The exports of one node, by the volumes of its pools. A hypervisor of the node itself opens files and
    devices, which costs nothing."""

    def __init__(self, host: str) -> None:
        self._host = host

    async def open(self, parts: PoolParts, volume_id: str, export: VolumeExport) -> VolumeConnection:
        """Let a volume be opened; what is open already is only told again. Raises Refused."""
        place = await parts.pool.place(volume_id)
        if export.host == self._host and (kind := _own(place)) in (export.protocols or (kind,)):
            return VolumeConnection(kind=kind, path=str(place.path), disk_format=place.format)
        raise Refused(f"The pool {parts.name} can't be opened from the host {export.host} yet.")

    async def close(self, volume_id: str, export_id: str) -> None:
        """Let it be opened no more."""


def _own(place: Place) -> str:
    return BLOCK if place.block else FILE
