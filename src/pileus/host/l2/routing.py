"""Flows of distributed routers: each host routes what its own guests send, in its switch. Pure.

A guest that sends to the router's hardware address is on a host that has all of the router's networks, even
those of which no guest is here; it is sent on in the network of its destination, as if by a router there::

    SWITCH ─(to the router's address)─► ROUTE ─► an address that is known: its network, its hardware address
                                         ├─────► an extra route: that of the next hop
                                         ├─────► to the outside, of a floating IP: translated (``floating``)
                                         └─────► anything else: on the same network, unchanged, to the port of
                                                 the router, which is plugged where the rest of it is
    and from there to SWITCH again.

ARP for the router, and echo requests to it, are answered where they are asked. Frames from other hosts are no
business of these flows: those have been routed where they started, or their host does not route, and they
come to where the router's port is. Of IPv6 hosts route what is for a known address; neighbour discovery,
advertisements, errors and all else are that port's.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator

import msgspec

from pileus.drivers.openflow.flow import Flow
from pileus.host.l2 import expired
from pileus.host.l2 import tables as t
from pileus.host.l2.answers import arp_answer, echo_answer
from pileus.host.l2.switching import LocalNetwork
from pileus.wire.dhcp import HostRoute
from pileus.wire.distributed import DistributedInterface, DistributedRouter

ROUTE, ROUTER = t.ROUTE, t.ROUTER
_METADATA = "169.254.169.254"
_SWITCH = f"resubmit(,{t.SWITCH})"


class Destination(msgspec.Struct, frozen=True):
    """An address on one of a router's networks, here or on another host."""

    address: str
    mac_address: str


class RoutedNetwork(msgspec.Struct, frozen=True):
    """A network of a router, by its number here. ``plugged``: the router's port is plugged here, too."""

    interface: DistributedInterface
    vlan: int
    destinations: tuple[Destination, ...]
    plugged: bool = False


Parts = tuple[int, int, str, str]


def router_flows(
    router: DistributedRouter, number: int, networks: tuple[RoutedNetwork, ...], outer: tuple[int, ...]
) -> list[Flow]:
    """All flows of one router."""
    return [Flow(*parts, t.NETWORK_COOKIE) for parts in _parts(router, number, networks, outer)]


def destinations(network: LocalNetwork, own: Collection[str]) -> tuple[Destination, ...]:
    """The addresses of a network that are known here, but those of the router itself."""
    found: dict[str, str] = {}
    for entry in network.details.forwarding:
        found |= dict.fromkeys(entry.ip_addresses, entry.mac_address.lower())
    for wired in network.devices:
        addresses = (fixed.ip_address for fixed in wired.details.fixed_ips)
        found |= dict.fromkeys(addresses, wired.details.mac_address.lower())
    return tuple(Destination(address, mac) for address, mac in found.items() if mac not in own)


def routing_base() -> list[Flow]:
    """Drop what nobody routes."""
    return [Flow(ROUTE, 0, "", "drop", t.BRIDGE_COOKIE)]


def _parts(
    router: DistributedRouter, number: int, networks: tuple[RoutedNetwork, ...], outer: tuple[int, ...]
) -> Iterator[Parts]:
    mine = f"{ROUTER}=0x{number:x}"
    for ttl in (0, 1):
        yield ROUTE, 180, f"ip,{mine},nw_ttl={ttl}", expired.ACTIONS
    # To the router's port, where that is plugged: ROUTER is set, so the packet does not come here again.
    central = _SWITCH
    hops: dict[str, str] = {}
    inner = _inner(router)
    for network in networks:
        yield from _entrance(network, number, outer)
        yield from _own_addresses(network.interface, mine)
        families = {":" in address for address in network.interface.ip_addresses}
        for destination in network.destinations:
            if (":" in destination.address) in families:
                onward = _onward(network, destination.mac_address)
                hops[destination.address] = onward
                yield ROUTE, 170, f"{mine},{_to(destination.address)}", onward
    # Where the time of a packet of IPv6 ends the router's port says so.
    for ttl in (0, 1):
        yield ROUTE, 180, f"ipv6,{mine},nw_ttl={ttl}", central
    for family in ("ip", "ipv6"):
        yield ROUTE, 10, f"{family},{mine}", central
    # Of nobody that is known, and yet not outside.
    for prefix in (*inner, _METADATA):
        length = prefix.prefixlen if isinstance(prefix, ipaddress.IPv4Network) else 32
        yield ROUTE, 20 + length, f"ip,{mine},nw_dst={prefix}", central
    for route in router.routes:
        prefix = ipaddress.ip_network(route.destination, strict=False)
        if prefix.prefixlen and not _is_outside(route.nexthop, inner):
            yield ROUTE, 20 + prefix.prefixlen, f"{mine},{_to(str(prefix))}", hops.get(route.nexthop, central)


def _to(destination: str) -> str:
    return f"ipv6,ipv6_dst={destination}" if ":" in destination else f"ip,nw_dst={destination}"


def outer_routes(router: DistributedRouter) -> list[HostRoute]:
    """Extra routes of IPv4 whose next hop is on none of the router's own subnets."""
    inner = _inner(router)
    return [
        route for route in router.routes if ":" not in route.destination and _is_outside(route.nexthop, inner)
    ]


def _inner(router: DistributedRouter) -> list[ipaddress.IPv4Network]:
    return [ipaddress.IPv4Network(cidr) for one in router.interfaces for cidr in _old(one.cidrs)]


def _is_outside(nexthop: str, inner: Collection[ipaddress.IPv4Network]) -> bool:
    address = ipaddress.ip_address(nexthop)
    return address.version == 4 and bool(inner) and not any(address in prefix for prefix in inner)


def _entrance(network: RoutedNetwork, number: int, outer: tuple[int, ...]) -> Iterator[Parts]:
    register, mac = f"{t.NETWORK}=0x{network.vlan:x}", network.interface.mac_address.lower()
    families = {"ipv6" if ":" in address else "ip" for address in network.interface.ip_addresses}
    entering = f"set_field:0x{number:x}->{ROUTER}"
    to_router = [f"{family},{register},{ROUTER}=0x0,dl_dst={mac}" for family in sorted(families)]
    for match in to_router:
        yield t.SWITCH, 40, match, f"{entering},resubmit(,{ROUTE})"
    questions = [
        f"arp,{register},arp_op=1,arp_tpa={address}" for address in _old(network.interface.ip_addresses)
    ]
    for question, address in zip(questions, _old(network.interface.ip_addresses), strict=True):
        yield t.SWITCH, 40, question, arp_answer(mac, address)
    for port in outer:
        # Where the router's port is plugged it serves hosts that don't route, or not yet.
        actions = f"{entering},{_SWITCH}" if network.plugged else "drop"
        for match in to_router if network.plugged else [*to_router, *questions]:
            yield t.SWITCH, 41, f"{match},in_port={port}", actions


def _own_addresses(interface: DistributedInterface, mine: str) -> Iterator[Parts]:
    mac = interface.mac_address.lower()
    for address in _old(interface.ip_addresses):
        yield ROUTE, 200, f"icmp,{mine},nw_dst={address},icmp_type=8,icmp_code=0", echo_answer(mac, address)
        yield ROUTE, 190, f"ip,{mine},nw_dst={address}", "drop"


def _onward(network: RoutedNetwork, mac_address: str) -> str:
    steps = (
        "dec_ttl",
        f"set_field:{network.interface.mac_address.lower()}->eth_src",
        f"set_field:{mac_address.lower()}->eth_dst",
        f"set_field:0x{network.vlan:x}->{t.NETWORK}",
        _SWITCH,
    )
    return ",".join(steps)


def _old(addresses: tuple[str, ...]) -> list[str]:
    return [address for address in addresses if ":" not in address]
