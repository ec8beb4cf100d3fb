"""Whom the switch answers DHCP: the devices of this host, with what each of them is told. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from pileus.core.addresses import link_local
from pileus.drivers.openflow.flow import Flow
from pileus.host.dhcp.terms import is_label, is_tellable, mode_of, plain_domain, resolvers_of
from pileus.host.l2 import tables as t
from pileus.host.l2.answers import arp_answer
from pileus.host.l2.devices import Wired, sender
from pileus.host.l2.dhcp.options import NotAnOption, encode_option
from pileus.host.l2.qos import Meter
from pileus.host.metadata_endpoint import METADATA_V4
from pileus.wire.dhcp import DhcpSubnet, SwitchedDhcp
from pileus.wire.switch import NetworkDetails

ASKED_V4, ASKED_V6 = b"D4", b"D6"
"""The words of questions of DHCP."""

RATE = Meter(10, 20, packets=True)
"""Questions of one device that come to the agent, in a second and at once."""
_FIRST_METER, _METERS = 0xF000, 0xFFE
"""Between the numbers of devices and the meter of routers: a meter for each device of a host."""

_NOBODYS_MAC = "02:00:00:00:00:43"
"""From whom answers are in a network that has no port of DHCP's own."""
_PRIORITY = 22
_FROM_NOWHERE = "255.255.255.255"
_SERVERS_V6 = "ff02::1:2"


class Given(msgspec.Struct, frozen=True):
    """An IPv4 address that a guest is given, with what goes with it."""

    address: str
    prefix_length: int
    server: str
    gateway: str | None = None
    resolvers: tuple[str, ...] = ()
    routes: tuple[tuple[str, str], ...] = ()


class Guest(msgspec.Struct, frozen=True):
    """A device that is answered. ``options`` and ``options_v6``: its own, by code; one without a value is not
    sent, and ``untold`` says why some can't be. ``asks_v6``: its questions of IPv6 are answered, with
    the addresses ``given_v6``, if any."""

    network_id: str
    mac_address: str
    ofport: int
    vlan: int
    number: int
    server_mac: str
    lease_s: int
    mtu: int
    given: tuple[Given, ...] = ()
    asks_v6: bool = False
    given_v6: tuple[str, ...] = ()
    prefixes_v6: tuple[str, ...] = ()
    resolvers_v6: tuple[str, ...] = ()
    hostname: str | None = None
    domain: str | None = None
    options: tuple[tuple[int, bytes], ...] = ()
    options_v6: tuple[tuple[int, bytes], ...] = ()
    untold: tuple[str, ...] = ()


def guest_of(wired: Wired, network: NetworkDetails) -> Guest | None:
    """Find what a device is to be told; None where the switch answers it nothing."""
    details, dhcp = wired.details, network.dhcp
    if dhcp is None or details.dhcp is None or not network.admin_state_up:
        return None
    subnets = {subnet.subnet_id: subnet for subnet in dhcp.subnets}
    own = {one.subnet_id: one.ip_address for one in dhcp.servers}
    given: list[Given] = []
    of_six: list[DhcpSubnet] = []
    given_v6: list[str] = []
    for fixed in details.fixed_ips:
        subnet = subnets.get(fixed.subnet_id)
        if subnet is None or (mode := mode_of(subnet)) is None:
            continue
        if subnet.ip_version == 4:
            given.append(_given(fixed.ip_address, subnet, own.get(subnet.subnet_id)))
            continue
        of_six.append(subnet)
        if mode == "stateful":
            given_v6.append(str(ipaddress.IPv6Address(fixed.ip_address)))
    if not given and not of_six:
        return None
    options, untold = _options(wired, 4)
    options_v6, untold_v6 = _options(wired, 6)
    return Guest(
        network_id=details.network_id,
        mac_address=details.mac_address.lower(),
        ofport=wired.ofport,
        vlan=wired.vlan,
        number=wired.number,
        server_mac=server_mac(dhcp),
        lease_s=dhcp.lease_time_s,
        mtu=network.mtu,
        given=tuple(given),
        asks_v6=bool(of_six),
        given_v6=tuple(given_v6),
        prefixes_v6=tuple(dict.fromkeys(one.cidr for one in of_six if mode_of(one) == "stateful")),
        resolvers_v6=tuple(dict.fromkeys(found for one in of_six for found in resolvers_of(one, None))),
        hostname=details.dhcp.hostname if is_label(details.dhcp.hostname) else None,
        domain=plain_domain(dhcp.dns_domain),
        options=options,
        options_v6=options_v6,
        untold=(*(untold if given else ()), *(untold_v6 if of_six else ())),
    )


def server_mac(dhcp: SwitchedDhcp) -> str:
    """The hardware address that answers are from."""
    return (dhcp.mac_address or _NOBODYS_MAC).lower()


def _given(address: str, subnet: DhcpSubnet, server: str | None) -> Given:
    routes = [(route.destination, route.nexthop) for route in subnet.host_routes]
    if server is not None and not subnet.gateway_is_router:
        routes.append((f"{METADATA_V4}/32", server))
    if routes and subnet.gateway_ip and not any(destination == "0.0.0.0/0" for destination, _ in routes):
        # A client that takes these routes ignores the router option (RFC 3442).
        routes.append(("0.0.0.0/0", subnet.gateway_ip))
    return Given(
        address=address,
        prefix_length=ipaddress.ip_network(subnet.cidr).prefixlen,
        # Without a port of DHCP's own the server has the name that Neutron's extension gives it.
        server=server or subnet.gateway_ip or METADATA_V4,
        gateway=subnet.gateway_ip,
        resolvers=resolvers_of(subnet, None),
        routes=tuple(routes),
    )


def _options(wired: Wired, version: int) -> tuple[tuple[tuple[int, bytes], ...], list[str]]:
    """The options of a device's own, and why others of them can't be told."""
    found, untold = {}, []
    assert wired.details.dhcp is not None
    for option in wired.details.dhcp.options:
        if (6 if option.ip_version == 6 else 4) != version:
            continue
        if not is_tellable(option):
            untold.append(f"the option {option.name!r} can't be told as it is")
            continue
        try:
            code, value = encode_option(option.name, option.value, version)
        except NotAnOption as error:
            untold.append(str(error))  # the others are told
            continue
        found[code] = value
    return tuple(found.items()), untold


# -- flows and meters


def meter_of(number: int) -> int:
    """The meter of what a device asks."""
    return _FIRST_METER + number % _METERS


def guest_flows(wired: Wired, guest: Guest) -> list[Flow]:
    """Lead a device's questions to the agent: those to everybody and to the network's own server. What it
    asks of others goes its way."""
    return [
        Flow(t.SWITCH, _PRIORITY, match, actions, t.DEVICE_COOKIE)
        for match, actions in _questions(wired, guest)
    ]


def _questions(wired: Wired, guest: Guest) -> Iterator[tuple[str, str]]:
    origin = f"{sender(wired)},{t.NETWORK}=0x{wired.vlan:x},dl_src={guest.mac_address}"
    asked = f"meter:{meter_of(wired.number)},controller(userdata={{}})"
    if guest.given:
        for server in dict.fromkeys((_FROM_NOWHERE, *(one.server for one in guest.given))):
            match = f"udp,{origin},nw_dst={server},tp_src=68,tp_dst=67"
            yield match, asked.format(ASKED_V4.hex("."))
    if guest.asks_v6:
        match = f"udp6,{origin},ipv6_dst={_SERVERS_V6},tp_src=546,tp_dst=547"
        yield match, asked.format(ASKED_V6.hex("."))


def server_flows(vlan: int, dhcp: SwitchedDhcp) -> list[Flow]:
    """Who asks for the server's hardware address is answered, though the server may be nowhere."""
    return [
        Flow(
            t.SWITCH,
            18,
            f"arp,{t.NETWORK}=0x{vlan:x},dl_dst=ff:ff:ff:ff:ff:ff,arp_tpa={one.ip_address},arp_op=1",
            arp_answer(server_mac(dhcp), one.ip_address),
            t.NETWORK_COOKIE,
        )
        for one in dhcp.servers
        if ":" not in one.ip_address
    ]


def meters(guests: Iterable[Guest]) -> dict[int, Meter]:
    """The meters of those who are answered."""
    return {meter_of(guest.number): RATE for guest in guests}


def guests_of(devices: Iterable[Wired], networks: Mapping[str, NetworkDetails]) -> dict[str, Guest]:
    """All that are answered on a switch, by their ports."""
    return {
        wired.details.port_id: guest
        for wired in devices
        if (network := networks.get(wired.details.network_id)) is not None
        if (guest := guest_of(wired, network)) is not None
    }


def server_link_local(guest: Guest) -> str:
    """The address that answers of IPv6 are from."""
    return link_local(guest.server_mac)
