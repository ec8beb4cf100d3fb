"""The demands of QoS policies on nodes. Directions are the guest's: ``egress`` is what it sends."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from pileus.wire.records import Record
from pileus.wire.types import Count, IpAddress, Uuid

DscpMark = Annotated[int, Meta(ge=0, le=63)]


class RateLimit(Record, frozen=True):
    """A limit in kilobits a second, and kilobits of burst (0: as the node sees fit).

    ``qos_id`` names the rule set it came from (seed 004: ``ovsqos``). A rate of 0 is no limit.
    """

    qos_id: Uuid
    rate_kbps: Count
    burst_kb: Count


class PacketRateLimit(Record, frozen=True):
    """A limit in thousands of packets a second, and of packets of burst (0: as the node sees fit)."""

    rate_kpps: Count
    burst_kp: Count = 0


class PortQos(Record, frozen=True):
    """The demands of a port's policy on its switch besides the limit of what the guest sends."""

    ingress: RateLimit | None = None
    egress_packets: PacketRateLimit | None = None
    ingress_packets: PacketRateLimit | None = None
    dscp_mark: DscpMark | None = None
    egress_minimum_kbps: Count = 0


class AddressQos(Record, frozen=True):
    """Limits of an address of a router. ``egress``: what leaves the cloud."""

    address: IpAddress
    egress: RateLimit | None = None
    ingress: RateLimit | None = None
