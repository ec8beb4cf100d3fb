"""Plan what a router advertises of the IPv6 subnets on one of its ports. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec

from pileus.drivers.advertising.advertisers import Advertisement, Prefix, message


class Subnet(Protocol):
    """The parts of a subnet that are told."""

    @property
    def cidr(self) -> str: ...
    @property
    def ipv6_ra_mode(self) -> str | None: ...
    @property
    def dns_nameservers(self) -> tuple[str, ...]: ...


class _Mode(msgspec.Struct, frozen=True):
    autonomous: bool
    managed: bool
    other: bool


_MODES = {
    "slaac": _Mode(autonomous=True, managed=False, other=False),
    "dhcpv6-stateless": _Mode(autonomous=True, managed=False, other=True),
    "dhcpv6-stateful": _Mode(autonomous=False, managed=True, other=True),
}


def advertisement(
    subnets: Iterable[Subnet], *, namespace: str, interface: str, mac: str, mtu: int
) -> Advertisement | None:
    """The advertisement of a port's subnets; None where none of them wants one. Raises ValueError for what
    can't be said."""
    told = [
        (subnet, mode)
        for subnet in subnets
        if (mode := _MODES.get(subnet.ipv6_ra_mode or "")) is not None and ":" in subnet.cidr
    ]
    if not told:
        return None
    resolvers = (resolver for subnet, _ in told for resolver in subnet.dns_nameservers)
    found = Advertisement(
        namespace=namespace,
        interface=interface,
        mac=mac,
        mtu=mtu,
        prefixes=tuple(Prefix(subnet.cidr, mode.autonomous) for subnet, mode in told),
        managed=any(mode.managed for _, mode in told),
        other=any(mode.other for _, mode in told),
        resolvers=tuple(dict.fromkeys(one for one in resolvers if ":" in one and one != "::")),
    )
    message(found)
    return found
