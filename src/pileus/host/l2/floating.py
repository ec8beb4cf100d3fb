"""Flows of floating IPs that the host of their port translates itself. Pure.

The host has a port of its own on the external network (``HostGateway``) that is plugged nowhere: its hardware
address answers for the floating IPs, and is what neighbours there see of them::

    SWITCH ─(to a floating IP)─► ct(nat) ─► FLOATING_IN ─► SWITCH, in the port's own network
    ROUTE ─(from its fixed IP, to the outside)─► ct(nat) ─► FLOATING_OUT ─► HOPS ─► NEIGHBOURS ─► RESOLVED
        ─► SWITCH, in the external network

HOPS chooses the next hop: a floating IP of this host, a neighbour, or the subnet's gateway. NEIGHBOURS are
flows that the switch learns by itself from the answers to ARP requests, so they outlive the agent. Of a
neighbour that is not known, RESOLVED sends one packet a second to the agent, which asks for it
(``neighbours``).

Each translation has a connection-tracking zone of its own: with another address it has another zone, and so
no connection of the one before.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

import msgspec

from pileus.drivers.openflow.flow import Flow
from pileus.host.l2 import tables as t
from pileus.host.l2.answers import arp_answer, echo_answer
from pileus.host.l2.devices import Wired
from pileus.host.l2.lengths import measured
from pileus.host.l2.numbers import stable_ids
from pileus.host.l2.words import ERRORS_METER, EXPIRED, TOO_BIG, told
from pileus.wire.dhcp import HostRoute
from pileus.wire.distributed import DistributedFloatingIp, HostGateway

FIRST_ZONE = 0x8000
"""Zones from here on are those of translations; devices have the ones below."""

MISSING, ANSWERED = b"NM", b"NA"
"""The words of packets to the agent: a neighbour is not known; a neighbour has answered."""

_MOST_NEIGHBOURS, _MOST_HELD = 4096, 1024
_IDLE_S, _HELD_S = 600, 1
_SWITCH = f"resubmit(,{t.SWITCH})"
_LEARN = (
    f"learn(table={t.NEIGHBOURS},idle_timeout={_IDLE_S},priority=10,cookie={t.LEARNT_COOKIE:#x},"
    f"limit={_MOST_NEIGHBOURS},NXM_NX_REG6[],NXM_NX_REG10[]=NXM_OF_ARP_SPA[],"
    "load:NXM_NX_ARP_SHA[]->NXM_OF_ETH_DST[],load:0x1->NXM_NX_REG11[0])"
)
_HOLD = (
    f"learn(table={t.HELD},hard_timeout={_HELD_S},priority=10,cookie={t.LEARNT_COOKIE:#x},limit={_MOST_HELD},"
    "NXM_NX_REG6[],NXM_NX_REG10[])"
)

Parts = tuple[int, int, str, str]


class Translation(msgspec.Struct, frozen=True):
    """A floating IP of a device that is wired here, with all numbers that its flows need."""

    floating: DistributedFloatingIp
    device: Wired
    router: int
    router_mac: str
    zone: int
    inner_mtu: int = 0
    outer_mtu: int = 0
    counted_in: str = ""
    counted_out: str = ""
    """Actions, with a comma behind, that count what comes in and what goes out."""


class Outside(msgspec.Struct, frozen=True):
    """A gateway with the local VLAN of its network; ``held``: the floating IPs that this host translates
    there; ``routes``: by router number, those whose next hop is outside."""

    gateway: HostGateway
    vlan: int
    held: tuple[str, ...] = ()
    routes: tuple[tuple[int, HostRoute], ...] = ()


def zones(floating_ips: Iterable[DistributedFloatingIp]) -> dict[str, int]:
    """The zone of each translation, by what it is."""
    limit = t.LOCAL_IP_ZONE - FIRST_ZONE
    return {
        key: FIRST_ZONE + number - 1 for key, number in stable_ids(map(identity, floating_ips), limit).items()
    }


def identity(floating: DistributedFloatingIp) -> str:
    """Name a translation: one of another name has none of its connections."""
    parts = (
        floating.floating_ip_id,
        floating.floating_ip_address,
        floating.port_id,
        floating.fixed_ip_address,
    )
    return " ".join(parts)


def floating_base() -> list[Flow]:
    """Drop packets that nobody translates, or that nobody is there for; find neighbours."""
    return [
        Flow(table, priority, match, actions, t.BRIDGE_COOKIE)
        for table, priority, match, actions in (
            (t.FLOATING_IN, 0, "", "drop"),
            (t.FLOATING_OUT, 0, "", "drop"),
            (t.HOPS, 0, "", "drop"),
            (t.NEIGHBOURS, 0, "", "drop"),
            (t.RESOLVED, 10, f"{t.KNOWN}=0x1", _SWITCH),
            (t.RESOLVED, 0, "", f"resubmit(,{t.HELD})"),
            (t.HELD, 0, "", f"{_HOLD},controller(userdata={MISSING.hex('.')})"),
        )
    ]


def outside_flows(outside: Outside) -> list[Flow]:
    """Flows of this host's gateway to an external network."""
    return [Flow(*parts, t.NETWORK_COOKIE) for parts in _outside(outside)]


def translation_flows(one: Translation, gateway: HostGateway, vlan: int) -> list[Flow]:
    """Flows of one floating IP; ``vlan``: the external network here."""
    return [Flow(*parts, t.DEVICE_COOKIE) for parts in _translation(one, gateway.mac_address.lower(), vlan)]


def leading_out(
    gateway: HostGateway, routes: Iterable[tuple[int, HostRoute]]
) -> tuple[tuple[int, HostRoute], ...]:
    """Those of the routes whose next hop is on the gateway's network."""
    prefixes = [ipaddress.ip_network(subnet.cidr, strict=False) for subnet in gateway.subnets]
    return tuple(
        (number, route)
        for number, route in routes
        if any(ipaddress.ip_address(route.nexthop) in prefix for prefix in prefixes)
    )


def _outside(outside: Outside) -> Iterator[Parts]:
    gateway, network = outside.gateway, f"{t.NETWORK}=0x{outside.vlan:x}"
    mac = gateway.mac_address.lower()
    yield t.SWITCH, 44, f"{network},dl_dst={mac}", "drop"
    answered = f"{_LEARN},controller(userdata={ANSWERED.hex('.')})"
    yield t.SWITCH, 46, f"arp,{network},dl_dst={mac},arp_op=2", answered
    for address in _old(gateway.ip_addresses):
        yield (
            t.SWITCH,
            46,
            f"arp,{network},arp_op=1,arp_tpa={address}",
            f"{_LEARN},{arp_answer(mac, address)}",
        )
        echo = f"icmp,{network},dl_dst={mac},nw_dst={address},icmp_type=8,icmp_code=0"
        yield t.SWITCH, 46, echo, echo_answer(mac, address)
    prefixes = [
        (prefix, subnet.gateway_ip)
        for subnet in gateway.subnets
        if (prefix := ipaddress.ip_network(subnet.cidr, strict=False)).version == 4
    ]
    for address in dict.fromkeys(hop for _, hop in prefixes if hop is not None):
        # The gateway announces that another machine has its address now.
        announced = f"arp,{network},{t.KNOWN}=0x0,dl_dst=ff:ff:ff:ff:ff:ff,arp_spa={address}"
        yield t.SWITCH, 45, announced, f"{_LEARN},set_field:0x1->{t.KNOWN},{_SWITCH}"
    find = f"resubmit(,{t.NEIGHBOURS}),resubmit(,{t.RESOLVED})"
    for address in outside.held:
        yield t.HOPS, 200, f"ip,{network},nw_dst={address}", f"set_field:{mac}->eth_dst,{_SWITCH}"
    for prefix, hop in prefixes:
        direct = f"move:NXM_OF_IP_DST[]->NXM_NX_REG10[],{find}"
        yield t.HOPS, 100 + prefix.prefixlen, f"ip,{network},nw_dst={prefix}", direct
        if hop is not None:
            yield t.HOPS, 2, f"ip,{network},nw_src={prefix}", f"set_field:{hex_of(hop)}->{t.NEXT_HOP},{find}"
    first = next((hop for _, hop in prefixes if hop is not None), None)
    if first is not None:
        yield t.HOPS, 1, f"ip,{network}", f"set_field:{hex_of(first)}->{t.NEXT_HOP},{find}"
    for router, route in outside.routes:
        prefix = ipaddress.ip_network(route.destination, strict=False)
        match = f"ip,{network},{t.ROUTER}=0x{router:x},nw_dst={prefix}"
        yield t.HOPS, 100 + prefix.prefixlen, match, f"set_field:{hex_of(route.nexthop)}->{t.NEXT_HOP},{find}"


def _translation(one: Translation, mac: str, vlan: int) -> Iterator[Parts]:
    floating, device = one.floating, one.device
    network, router = f"{t.NETWORK}=0x{vlan:x}", f"{t.ROUTER}=0x{one.router:x}"
    address, fixed = floating.floating_ip_address, floating.fixed_ip_address
    if not floating.leaving:
        answer = f"{_LEARN},{arp_answer(mac, address)}"
        yield t.SWITCH, 46, f"arp,{network},arp_op=1,arp_tpa={address}", answer
    inward = f"ct(commit,zone={one.zone},nat(dst={fixed}),table={t.FLOATING_IN})"
    arrived = f"ip,{network},dl_dst={mac},nw_dst={address}"
    for ttl in (0, 1):
        yield t.SWITCH, 47, f"{arrived},nw_ttl={ttl}", told(EXPIRED, ERRORS_METER)
    goes_in = f"dec_ttl,set_field:0x{one.router:x}->{t.ROUTER},{inward}"
    if one.inner_mtu < one.outer_mtu:
        yield t.SWITCH, 46, arrived, _measured(one.inner_mtu, device.vlan)
        yield from _fitting(f"ip,{network},nw_dst={address}", goes_in)
    else:
        yield t.SWITCH, 46, arrived, goes_in
    delivered = (
        f"set_field:{one.router_mac}->eth_src",
        f"set_field:{device.details.mac_address.lower()}->eth_dst",
        f"set_field:0x{device.vlan:x}->{t.NETWORK}",
        _SWITCH,
    )
    yield t.FLOATING_IN, 10, f"ip,{network},{router},nw_dst={fixed}", one.counted_in + ",".join(delivered)
    outward = f"ct(commit,zone={one.zone},nat(src={address}),table={t.FLOATING_OUT})"
    # Of its own device alone: others without port security may claim the address.
    sent = f"ip,in_port={device.ofport},{router},{t.NETWORK}=0x{device.vlan:x},nw_src={fixed}"
    goes_out = f"{one.counted_out}dec_ttl,set_field:0x{vlan:x}->{t.NETWORK},{outward}"
    if one.outer_mtu < one.inner_mtu:
        yield t.ROUTE, 15, sent, _measured(one.outer_mtu, vlan)
        yield from _fitting(f"{sent},{t.ONWARD}=0x{vlan:x}", goes_out)
    else:
        yield t.ROUTE, 15, sent, goes_out
    leaving = f"set_field:{mac}->eth_src,resubmit(,{t.HOPS})"
    yield t.FLOATING_OUT, 10, f"ip,{network},{router},nw_src={address}", leaving


def _measured(mtu: int, vlan: int) -> str:
    return ",".join([*measured(mtu, vlan), f"resubmit(,{t.FIT})"])


def _fitting(match: str, onward: str) -> Iterator[Parts]:
    yield t.FIT, 31, f"{match},{t.LENGTH}=0x1/0x1", told(TOO_BIG, ERRORS_METER)
    yield t.FIT, 30, match, onward


def hex_of(address: str) -> str:
    """An IPv4 address as the number that a register holds."""
    return f"0x{int(ipaddress.IPv4Address(address)):x}"


def _old(addresses: Iterable[str]) -> list[str]:
    return [address for address in addresses if ":" not in address]
