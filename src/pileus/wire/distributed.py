"""Distributed routers as the switches of their guests' hosts see them."""

from __future__ import annotations

from pileus.wire.dhcp import HostRoute
from pileus.wire.l3 import MeteringLabel
from pileus.wire.records import Record
from pileus.wire.types import IpAddress, IpPrefix, MacAddress, Uuid, Word


class AdvertisedSubnet(Record, frozen=True):
    """An IPv6 subnet that a router tells its guests of."""

    cidr: IpPrefix
    ipv6_ra_mode: Word
    dns_nameservers: tuple[IpAddress, ...] = ()


class DistributedInterface(Record, frozen=True):
    """A router's port on a network: each host of the network is the router itself for its own guests.
    ``central_mac``: another port of the same router, where the rest of it is."""

    network_id: Uuid
    mac_address: MacAddress
    ip_addresses: tuple[IpAddress, ...]
    central_mac: MacAddress | None = None
    cidrs: tuple[IpPrefix, ...] = ()
    """The subnets that it has these addresses of."""
    advertised: tuple[AdvertisedSubnet, ...] = ()
    """Those of them that each host advertises to its own guests."""


class DistributedRouter(Record, frozen=True):
    """A router of networks of which at least one has a device on the host."""

    router_id: Uuid
    interfaces: tuple[DistributedInterface, ...]
    routes: tuple[HostRoute, ...] = ()
    metering_labels: tuple[MeteringLabel, ...] = ()
    """Counted of packets by floating IPs that the host translates."""


class OuterSubnet(Record, frozen=True):
    """A subnet of an external network, and who leads further from there."""

    cidr: IpPrefix
    gateway_ip: IpAddress | None = None


class HostGateway(Record, frozen=True):
    """The port of a host itself on an external network: its hardware address answers for the floating IPs
    that the host translates there."""

    port_id: Uuid
    network_id: Uuid
    mac_address: MacAddress
    ip_addresses: tuple[IpAddress, ...]
    subnets: tuple[OuterSubnet, ...] = ()


class DistributedFloatingIp(Record, frozen=True):
    """A floating IP that the host of its port translates."""

    floating_ip_id: Uuid
    floating_ip_address: IpAddress
    fixed_ip_address: IpAddress
    network_id: Uuid
    """The external one."""
    port_id: Uuid
    router_id: Uuid
    in_force: bool = False
    """The server has heard that this host translates it."""
    leaving: bool = False
    """The router's agent is about to translate it, and answers for it from now on."""


class RoutingMac(Record, frozen=True):
    """The hardware address with which a host sends on physical networks what it has routed; those of other
    hosts are like ``base`` in the bits of ``mask``."""

    mac_address: MacAddress
    base: MacAddress
    mask: MacAddress
