"""The QoS of a device in OpenFlow: meters both ways, and the DSCP mark of what it sends.

A flow has one meter at most (OpenFlow 1.4), so a second limit stands in a table of its own: POLICE for what a
device sends, DELIVERED for what it gets. Packets to a device are counted after its security groups have let
them through, so that what they drop is not taken from its allowance.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from pileus.host.l2 import tables as t
from pileus.wire.qos import RateLimit
from pileus.wire.switch import DeviceDetails

_HIGHEST_RATE = (1 << 32) - 1
_LARGEST_FRAME_KB = 73
_NUMBERS = 1 << 16
"""A device's number is its first meter; the others have those above all numbers."""
_EGRESS_PACKETS, _INGRESS, _INGRESS_PACKETS = range(3)
LOG_METER = _NUMBERS
"""The meter of all packets that are brought to the agent for logs; no device has the number 0."""


class Meter(msgspec.Struct, frozen=True):
    """A limit in OpenFlow: kilobits a second and kilobits of burst, or the same in packets."""

    rate: int
    burst: int
    packets: bool = False


def _more(number: int, kind: int) -> int:
    return _NUMBERS + 3 * number + kind


def meters(number: int, details: DeviceDetails, metered: bool) -> dict[int, Meter]:
    """The meters of a device by their number. ``metered``: one limits the rate of what it sends."""
    found = {}
    limit, qos = details.rate_limit, details.qos
    if metered and limit is not None:
        found[number] = _bandwidth(limit)
    if qos is None:
        return found
    if qos.ingress is not None and qos.ingress.rate_kbps:
        found[_more(number, _INGRESS)] = _bandwidth(qos.ingress)
    for kind, packets in ((_EGRESS_PACKETS, qos.egress_packets), (_INGRESS_PACKETS, qos.ingress_packets)):
        if packets is not None and packets.rate_kpps:
            rate, burst = packets.rate_kpps * 1000, packets.burst_kp * 1000
            found[_more(number, kind)] = Meter(
                min(rate, _HIGHEST_RATE), min(burst or rate * 4 // 5, _HIGHEST_RATE), packets=True
            )
    return found


def _bandwidth(limit: RateLimit) -> Meter:
    """The meter of a bandwidth. Without a word on the burst it is four fifths of a second's worth, as Neutron
    has it; a smaller one than the largest frame would let no such frame through, ever."""
    return Meter(limit.rate_kbps, max(limit.burst_kb or limit.rate_kbps * 4 // 5, _LARGEST_FRAME_KB))


def sending(number: int, details: DeviceDetails, metered: bool) -> list[int]:
    """The meters that what a device sends goes through."""
    there = meters(number, details, metered)
    return [one for one in (number, _more(number, _EGRESS_PACKETS)) if one in there]


def receiving(number: int, details: DeviceDetails) -> list[int]:
    """The meters that what a device gets goes through."""
    there = meters(number, details, metered=False)
    return [one for one in (_more(number, _INGRESS), _more(number, _INGRESS_PACKETS)) if one in there]


Parts = tuple[int, int, str, str]


class Place(NamedTuple):
    """Where a device's frames come in: priority and match of its flow in CLASSIFY, and ``sender``, which
    matches them once they are classified."""

    priority: int
    match: str
    sender: str


def classified(
    place: Place, registers: str, onward: str, details: DeviceDetails, through: list[int]
) -> Iterator[Parts]:
    """The flows of a device in CLASSIFY: through its meters, and marked. ``registers`` says whose the packet
    is, ``onward`` leads it on."""
    if len(through) > 1:
        yield t.POLICE, 50, place.sender, f"meter:{through[1]},{onward}"
        onward = f"resubmit(,{t.POLICE})"
    meter = f"meter:{through[0]}," if through else ""
    actions = f"{registers},{onward}"
    yield t.CLASSIFY, place.priority, place.match, f"{meter}{actions}"
    mark = details.qos.dscp_mark if details.qos is not None else None
    if mark is not None:
        for family in ("ip", "ipv6"):
            marked = f"set_field:{mark}->ip_dscp,{actions}"
            yield t.CLASSIFY, place.priority + 1, f"{family},{place.match}", f"{meter}{marked}"


def delivered(number: str, ofport: int, through: list[int], copied: bool = False) -> Iterator[Parts]:
    """The flows that bring a device what it gets through its meters; ``number`` matches the device.
    ``copied``: others get it, too."""
    last = f"resubmit(,{t.TAP_IN}),output:{ofport}" if copied else f"output:{ofport}"
    if not through:
        if copied:
            yield t.OUTPUT_TABLE, 50, number, last
        return
    if len(through) > 1:
        yield t.DELIVERED, 50, number, f"meter:{through[1]},{last}"
        last = f"resubmit(,{t.DELIVERED})"
    yield t.OUTPUT_TABLE, 50, number, f"meter:{through[0]},{last}"
