"""Counts of metering labels, as the metering agent tells them."""

from __future__ import annotations

from pileus.wire.records import Record
from pileus.wire.types import HostName, Size, Uuid


class MeteringCount(Record, frozen=True):
    """A counter of a label on one router, since it was made: in the router's namespace, or (``distributed``)
    in the switch of a host, of what does not come by that namespace."""

    label_id: Uuid
    router_id: Uuid
    packets: Size
    octets: Size
    distributed: bool = False


class MeteringReport(Record, frozen=True):
    """The counters of a host's routers."""

    host: HostName
    counters: tuple[MeteringCount, ...] = ()
