"""Plans the gateways of a router: addresses, routes, and what keeps each connection on its gateway. Pure.

A router with one gateway needs a default route and no more. With several, what belongs to a gateway leaves by
it: answers to what came in by it, what a port with a floating IP of its network sends, and connections that
began through it. Such packets are marked (``drivers/nft/gateways.py``), and a rule of routing leads each mark
to a table of its own, with that gateway's default route. Everything else takes the default route of the main
table: the first gateway's, or all of them by turns (``enable_default_route_ecmp``).
"""

from __future__ import annotations

import ipaddress
import zlib
from collections.abc import Iterable, Iterator

import msgspec

from pileus.drivers.netlink.links import FIRST_PRIORITY, FIRST_TABLE, Hop, PolicyRule
from pileus.drivers.nft import gateways
from pileus.drivers.nft.table import Table
from pileus.host.namespaces.model import NamespaceRoute
from pileus.wire.l3 import RouterDetails, RouterPort, RouterSubnet

GATEWAY_PREFIX = "qg-"
NAME_CHARACTERS = 11
_DEFAULTS = ((4, "0.0.0.0/0"), (6, "::/0"))
_NUMBERS = 0xFFFF
WATCHED_TABLE = FIRST_TABLE
"""The table of next hops that answer (``host/l3/bfd.py``); those of the marks are numbered from 1."""
_BALANCED = {
    # By ports too, so that two connections of one guest to one server may take two ways.
    "ipv4/fib_multipath_hash_policy": "1",
    "ipv6/fib_multipath_hash_policy": "1",
    # A neighbour that answers no more is passed over.
    "ipv4/fib_multipath_use_neigh": "1",
}


class _Numbered(msgspec.Struct, frozen=True):
    """A gateway with the number of its mark and its table."""

    port: RouterPort
    number: int


def gateway_name(port: RouterPort) -> str:
    """``qg-`` and the first 11 characters of the port's id."""
    return GATEWAY_PREFIX + port.port.port_id[:NAME_CHARACTERS]


def all_of(router: RouterDetails) -> list[RouterPort]:
    """The gateways of a router, the first one first."""
    return [router.gateway, *router.more_gateways] if router.gateway is not None else []


def source_address(gateway: RouterPort) -> str | None:
    """A gateway's first IPv4 address."""
    held = (address.ip_address for address in gateway.port.addresses)
    return next((ip for ip in held if ipaddress.ip_address(ip).version == 4), None)


def addresses_held(router: RouterDetails) -> dict[str, list[str]]:
    """The floating addresses that each gateway, by name, has beside its own."""
    outside = [item.floating_ip_address for item in router.floating_ips]
    outside += [item.floating_ip_address for item in router.port_forwardings]
    found: dict[str, list[str]] = {gateway_name(one): [] for one in all_of(router)}
    for address in dict.fromkeys(outside):
        gateway = gateway_of(router, address)
        if gateway is not None:
            found[gateway_name(gateway)].append(address)
    return found


def gateway_of(router: RouterDetails, address: str) -> RouterPort | None:
    """The gateway on whose network an address is; of several there the first."""
    several = all_of(router)
    if len(several) < 2:
        return several[0] if several else None
    wanted = ipaddress.ip_address(address)
    for one in several:
        if any(wanted in ipaddress.ip_network(subnet.cidr) for subnet in one.subnets):
            return one
    return several[0]


def sysctls(router: RouterDetails) -> dict[str, str]:
    """Sysctls of routers that send by several gateways."""
    return dict(_BALANCED) if router.enable_default_route_ecmp and router.more_gateways else {}


def routes(router: RouterDetails) -> Iterator[NamespaceRoute]:
    """The routes by gateways."""
    several = all_of(router)
    seen: set[str] = set()
    for one in several:
        own = {address.subnet_id for address in one.port.addresses}
        for subnet in one.subnets:
            if subnet.subnet_id not in own | seen:
                # The outer network's other subnets are on the same link: floating IPs may be from there.
                yield NamespaceRoute(subnet.cidr, gateway_name(one))
        seen |= {subnet.subnet_id for subnet in one.subnets}
    for version, everything in _DEFAULTS:
        hops = [hop for one in several for hop in _hop(one, version)]
        for hop, gateway in hops:
            if _is_far(several, hop):
                yield NamespaceRoute(f"{gateway}/{gateway.max_prefixlen}", hop.device)
        if len(hops) > 1 and router.enable_default_route_ecmp:
            yield NamespaceRoute(everything, "", hops=tuple(sorted(hop for hop, _ in hops)))
        elif hops:
            yield NamespaceRoute(everything, hops[0][0].device, hops[0][0].via)
    for numbered in _numbered(router):
        for version, everything in _DEFAULTS:
            for hop, _ in _hop(numbered.port, version):
                table = FIRST_TABLE + numbered.number
                yield NamespaceRoute(everything, hop.device, hop.via, table=table)


def rules(router: RouterDetails) -> tuple[PolicyRule, ...]:
    """The rules that lead marks to tables, and everything else to the next hops that answer, where these are
    watched. What is nearer than the outside is looked up before."""
    numbered = _numbered(router)
    is_watched = router.enable_default_route_bfd and router.gateway is not None
    if not numbered and not is_watched:
        return ()
    return (
        PolicyRule(FIRST_PRIORITY, default_is_none=True),
        *sorted(
            PolicyRule(
                FIRST_PRIORITY + 1, FIRST_TABLE + one.number, gateways.mark_of(one.number), gateways.MASK
            )
            for one in numbered
        ),
        *([PolicyRule(FIRST_PRIORITY + 2, WATCHED_TABLE)] if is_watched else []),
    )


def next_hops(router: RouterDetails) -> Iterator[tuple[RouterPort, Hop, bool]]:
    """The neighbours outside by which everything is reached, with their gateways; true for those
    that are on no subnet there."""
    several = all_of(router)
    for one in several:
        for version, _ in _DEFAULTS:
            for hop, _ in _hop(one, version):
                yield one, hop, _is_far(several, hop)


def plan_marks(router: RouterDetails) -> Table:
    """Plan the marks of connections by their gateway."""
    numbers = {gateway_name(one.port): one.number for one in _numbered(router)}
    fixed = {}
    for item in router.floating_ips:
        gateway = gateway_of(router, item.floating_ip_address)
        if gateway is not None and numbers:
            fixed[item.fixed_ip_address] = numbers[gateway_name(gateway)]
    return gateways.render(numbers, fixed)


def _numbered(router: RouterDetails) -> list[_Numbered]:
    """The gateways of a router of several. A number follows from the port's id, so that a gateway keeps its
    own when others come and go."""
    several = all_of(router)
    if len(several) < 2:
        return []
    taken: set[int] = set()
    found = []
    for one in several:
        number = zlib.crc32(one.port.port_id.encode()) % _NUMBERS + 1
        while number in taken:
            number = number % _NUMBERS + 1
        taken.add(number)
        found.append(_Numbered(one, number))
    return found


def _is_far(several: Iterable[RouterPort], hop: Hop) -> bool:
    address = ipaddress.ip_address(hop.via)
    near = any(address in ipaddress.ip_network(one.cidr) for one in _subnets(several, hop.device))
    return not near and not address.is_link_local


def _subnets(several: Iterable[RouterPort], name: str) -> list[RouterSubnet]:
    return [subnet for one in several if gateway_name(one) == name for subnet in one.subnets]


def _hop(
    port: RouterPort, version: int
) -> Iterator[tuple[Hop, ipaddress.IPv4Address | ipaddress.IPv6Address]]:
    """The neighbour outside by which a gateway reaches everything, if its subnets name one."""
    own = {address.subnet_id for address in port.port.addresses}
    for subnet in port.subnets:
        is_version = ipaddress.ip_network(subnet.cidr).version == version
        if subnet.subnet_id in own and is_version and subnet.gateway_ip is not None:
            gateway = ipaddress.ip_address(subnet.gateway_ip)
            yield Hop(str(gateway), gateway_name(port)), gateway
            return
