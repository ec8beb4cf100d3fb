"""Flows of distributed routers: each host routes what its own guests send, in its switch. Pure.

A guest that sends to the router's hardware address is on a host that has all of the router's networks, even
those of which no guest is here; it is sent on in the network of its destination, as if by a router there::

    SWITCH ─(to the router's address)─► ROUTE ─► an address that is known: its network, its hardware address
                                         ├─────► an extra route: that of the next hop
                                         ├─────► to the outside, of a floating IP: translated (``floating``)
                                         └─────► anything else: on the same network, unchanged, to the port of
                                                 the router, which is plugged where the rest of it is
    and from there to SWITCH again.

ARP and neighbour discovery for the router, and echo requests to it, are answered where they are asked; of
what ends at it, or is too long for where it goes, the agent tells the sender. Each host advertises the router
to its own guests (``discovery``). Frames from other hosts are no business of these flows: those have been
routed where they started, or their host does not route, and they come to where the router's port is.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator, Mapping

from pileus.drivers.openflow.flow import Flow
from pileus.host.l2 import discovery, switching
from pileus.host.l2 import tables as t
from pileus.host.l2.answers import arp_answer, echo_answer, echo_answer_v6
from pileus.host.l2.discovery import Destination, RoutedNetwork, Wire
from pileus.host.l2.lengths import measured
from pileus.host.l2.switching import LocalNetwork
from pileus.host.l2.words import ERRORS_METER, EXPIRED, TOO_BIG, told
from pileus.wire.dhcp import HostRoute
from pileus.wire.distributed import DistributedInterface, DistributedRouter, RoutingMac

ROUTE, ROUTER = t.ROUTE, t.ROUTER
_METADATA = "169.254.169.254"
_SWITCH = f"resubmit(,{t.SWITCH})"
_BY_WIRE = "0x2"
"""The bit of LENGTH beside the one that is measured: the packet leaves by a physical network."""


Parts = tuple[int, int, str, str]


def router_flows(
    router: DistributedRouter, number: int, networks: tuple[RoutedNetwork, ...], outer: tuple[int, ...]
) -> list[Flow]:
    """All flows of one router."""
    return [Flow(*parts, t.NETWORK_COOKIE) for parts in _parts(router, number, networks, outer)]


def routed_networks(
    router: DistributedRouter, carried: Mapping[str, LocalNetwork], mac: RoutingMac | None
) -> Iterator[RoutedNetwork]:
    """The router's networks that this host carries; ``mac``: the host's own as a router."""
    macs = {one.mac_address.lower() for one in router.interfaces}
    for one in router.interfaces:
        network = carried.get(one.network_id)
        if network is None:
            continue
        own = one.mac_address.lower()
        wire = _wire(network, mac)
        yield RoutedNetwork(
            one,
            network.vlan,
            destinations(network, macs, by_wire=wire is not None),
            plugged=any(wired.details.mac_address.lower() == own for wired in network.devices),
            mtu=network.details.mtu,
            outward=",".join(switching.outward(network)),
            wire=wire,
        )


def _wire(network: LocalNetwork, mac: RoutingMac | None) -> Wire | None:
    if mac is None or network.joint is None or switching.is_tunnelled(network.details):
        return None
    arriving, entering = switching.arrival(network)
    return Wire(arriving, entering, mac.mac_address.lower(), f"{mac.base.lower()}/{mac.mask}")


def destinations(
    network: LocalNetwork, own: Collection[str], *, by_wire: bool = False
) -> tuple[Destination, ...]:
    """The addresses of a network that are known here, but those of the router itself. ``by_wire``: frames
    reach other hosts by a physical network."""
    found: dict[str, tuple[str, bool]] = {}
    for entry in network.details.forwarding:
        found |= dict.fromkeys(entry.ip_addresses, (entry.mac_address.lower(), False))
    for remote in network.details.remote if by_wire else ():
        found |= dict.fromkeys(remote.ip_addresses, (remote.mac_address.lower(), True))
    for wired in network.devices:
        addresses = (fixed.ip_address for fixed in wired.details.fixed_ips)
        found |= dict.fromkeys(addresses, (wired.details.mac_address.lower(), False))
    return tuple(Destination(address, mac, far) for address, (mac, far) in found.items() if mac not in own)


def routing_base() -> list[Flow]:
    """Drop what nobody routes."""
    return [Flow(table, 0, "", "drop", t.BRIDGE_COOKIE) for table in (t.FIT, ROUTE)]


def _parts(
    router: DistributedRouter, number: int, networks: tuple[RoutedNetwork, ...], outer: tuple[int, ...]
) -> Iterator[Parts]:
    mine = f"{ROUTER}=0x{number:x}"
    ended = told(EXPIRED, ERRORS_METER)
    for family in ("ip", "ipv6"):
        for ttl in (0, 1):
            yield ROUTE, 180, f"{family},{mine},nw_ttl={ttl}", ended
    # To the router's port, where that is plugged: ROUTER is set, so the packet does not come here again.
    central = _SWITCH
    hops: dict[str, str] = {}
    inner = _inner(router)
    longest = max((network.mtu for network in networks), default=0)
    for network in networks:
        yield from _entrance(network, number, outer)
        yield from discovery.parts(network, outer)
        yield from _arrivals(network)
        yield from _own_addresses(network.interface, mine, central)
        if narrow := network.mtu < longest:
            yield from _fitting(network, mine)
        families = {":" in address for address in network.interface.ip_addresses}
        for destination in network.destinations:
            if (":" in destination.address) in families:
                onward = _onward(network, destination, narrow=narrow)
                hops[destination.address] = onward
                yield ROUTE, 170, f"{mine},{_to(destination.address)}", onward
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
    entering = f"set_field:0x{number:x}->{ROUTER}"
    to_router = [f"{family},{register},{ROUTER}=0x0,dl_dst={mac}" for family in _families(network.interface)]
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


def _own_addresses(interface: DistributedInterface, mine: str, central: str) -> Iterator[Parts]:
    mac = interface.mac_address.lower()
    for address in _old(interface.ip_addresses):
        yield ROUTE, 200, f"icmp,{mine},nw_dst={address},icmp_type=8,icmp_code=0", echo_answer(mac, address)
        yield ROUTE, 190, f"ip,{mine},nw_dst={address}", "drop"
    for address in discovery.own_addresses(interface):
        echo = f"icmp6,{mine},ipv6_dst={address},icmp_type=128,icmp_code=0"
        yield ROUTE, 200, echo, echo_answer_v6(mac, address)
        # Its port has asked for neighbours, and hears the answers.
        yield ROUTE, 190, f"ipv6,{mine},ipv6_dst={address}", central


def _fitting(network: RoutedNetwork, mine: str) -> Iterator[Parts]:
    """On to a network that others of its router have longer packets than."""
    goes = f"{mine},{t.ONWARD}=0x{network.vlan:x}"
    yield t.FIT, 20, f"{goes},{t.LENGTH}=0x1/0x1", told(TOO_BIG, ERRORS_METER)
    for family in ("ip", "ipv6"):
        yield t.FIT, 10, f"{family},{goes}", ",".join(_leaving(network))
        if network.wire is not None:
            far = ",".join(_leaving(network, by_wire=True))
            yield t.FIT, 12, f"{family},{goes},{t.LENGTH}={_BY_WIRE}/{_BY_WIRE}", far


def _onward(network: RoutedNetwork, destination: Destination, *, narrow: bool) -> str:
    to = f"set_field:{destination.mac_address.lower()}->eth_dst"
    if not narrow:
        return ",".join(_leaving(network, to, by_wire=destination.by_wire))
    # The address of who has sent it is kept: it may have to be told.
    far = [f"set_field:{_BY_WIRE}/{_BY_WIRE}->{t.LENGTH}"] if destination.by_wire else []
    return ",".join([*far, *measured(network.mtu, network.vlan), to, f"resubmit(,{t.FIT})"])


def _leaving(network: RoutedNetwork, *steps: str, by_wire: bool = False) -> list[str]:
    mac = network.interface.mac_address
    if by_wire and network.wire is not None:
        mac = network.wire.own_mac
    return [
        "dec_ttl",
        f"set_field:{mac.lower()}->eth_src",
        *steps,
        f"set_field:0x{network.vlan:x}->{t.NETWORK}",
        _SWITCH,
    ]


def _arrivals(network: RoutedNetwork) -> Iterator[Parts]:
    """Frames that another host has routed come from the router again."""
    if network.wire is None:
        return
    for family in _families(network.interface):
        steps = (f"set_field:{network.interface.mac_address.lower()}->eth_src", *network.wire.entering)
        match = f"{family},{network.wire.arriving},dl_src={network.wire.macs}"
        yield t.CLASSIFY, 92, match, ",".join(steps)


def _families(interface: DistributedInterface) -> list[str]:
    return sorted({"ipv6" if ":" in address else "ip" for address in interface.ip_addresses})


def _old(addresses: tuple[str, ...]) -> list[str]:
    return [address for address in addresses if ":" not in address]
