"""Checks of what is attached to one router, and of its routes. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from pileus.core.repeats import key_of
from pileus.resource.wordings.neutron import BadRequest
from pileus.services.network.common.errors import InvalidInput
from pileus.services.network.rules.addresses import PROVISIONAL

Route = dict[str, str]


class InvalidRoutes(InvalidInput):
    message = "Invalid format for routes: {routes}, {reason}"

    def __init__(self, routes: Sequence[Route], reason: str) -> None:
        super(InvalidInput, self).__init__(routes=list(routes), reason=reason)


class Attached(NamedTuple):
    """A subnet that a router reaches directly: by an interface, or as one of its gateway's network."""

    subnet_id: str
    cidr: str


def check_apart(attached: Iterable[Attached], new: Sequence[Attached], on_port: Collection[str]) -> None:
    """BadRequest where the router is on a new subnet already (``on_port``), or one overlaps with another."""
    for one in new:
        if one.subnet_id in on_port:
            raise BadRequest(resource="router", msg=f"Router already has a port on subnet {one.subnet_id}")
    for other in attached:
        there = ipaddress.ip_network(other.cidr)
        for one in new:
            prefix = ipaddress.ip_network(one.cidr)
            if one.subnet_id == other.subnet_id or PROVISIONAL in (one.cidr, other.cidr):
                continue
            if _overlap(there, prefix):
                raise BadRequest(
                    resource="router",
                    msg=f"Cidr {one.cidr} of subnet {one.subnet_id} overlaps with cidr {other.cidr} "
                    f"of subnet {other.subnet_id}",
                )


def _overlap(
    one: ipaddress.IPv4Network | ipaddress.IPv6Network, other: ipaddress.IPv4Network | ipaddress.IPv6Network
) -> bool:
    return one.version == other.version and one.overlaps(other)


def check_routes(routes: Sequence[Route], cidrs: Iterable[str], own_addresses: Collection[str]) -> None:
    """InvalidRoutes where a next hop is on no network of the router's, or is the router itself."""
    prefixes = [ipaddress.ip_network(cidr) for cidr in cidrs]
    for route in routes:
        hop = ipaddress.ip_address(route["nexthop"])
        if not any(hop in prefix for prefix in prefixes):
            raise InvalidRoutes(routes, "the nexthop is not connected with router")
        if str(hop) in own_addresses:
            raise InvalidRoutes(routes, "the nexthop is used by router")


def added(routes: Sequence[Route], more: Iterable[Route]) -> list[Route]:
    """``routes`` and those of ``more`` that are not among them."""
    return [*routes, *_without(more, routes)]


def removed(routes: Iterable[Route], less: Sequence[Route]) -> list[Route]:
    """``routes`` without those of ``less``; what is not there need not be removed."""
    return _without(routes, less)


def _without(routes: Iterable[Route], others: Sequence[Route]) -> list[Route]:
    gone = set(map(key_of, others))
    return list({key: route for route in routes if (key := key_of(route)) not in gone}.values())
