"""Host routes between the subnets of a routed network, whose segments do not hear each other. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

Route = dict[str, str]


class Prefix(NamedTuple):
    """A subnet, as far as its routes go."""

    id: str
    ip_version: int
    cidr: str
    gateway_ip: str | None
    segment_id: str | None
    host_routes: Sequence[Route]


def with_peers(
    one: Prefix, others: Iterable[Prefix], gateways: Collection[str | None], gone: Collection[str] = ()
) -> list[Route]:
    """The routes of a subnet: its own, and one to each subnet of the other segments by its gateway.

    ``gateways``: those that it has or had; ``gone``: prefixes of subnets that are no more. Routes by these
    to those, and to peers, were made here. A route of the user's to the same destination is left alone.
    """
    peers = [
        other.cidr
        for other in others
        if other.id != one.id
        and other.ip_version == one.ip_version
        and other.segment_id != one.segment_id
        and other.segment_id is not None
    ]
    made = {*peers, *gone}
    routes = [
        route
        for route in one.host_routes
        if not (route["destination"] in made and route["nexthop"] in gateways)
    ]
    if one.gateway_ip is None or one.segment_id is None:
        return routes
    taken = {route["destination"] for route in routes}
    return routes + [{"destination": cidr, "nexthop": one.gateway_ip} for cidr in peers if cidr not in taken]
