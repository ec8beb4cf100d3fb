"""Counts of metering labels, as the metering agent tells them."""

from __future__ import annotations

from pileus.wire.records import Record
from pileus.wire.types import HostName, Size, Uuid


class MeteringCount(Record, frozen=True):
    """A counter of a label on one router, since the router's namespace was made."""

    label_id: Uuid
    router_id: Uuid
    packets: Size
    octets: Size


class MeteringReport(Record, frozen=True):
    """The counters of a host's routers."""

    host: HostName
    counters: tuple[MeteringCount, ...] = ()
