"""Desired state of a node's DHCP, as the server tells it and the DHCP agent reads it."""

from __future__ import annotations

import msgspec

from pileus.wire.records import Record
from pileus.wire.types import (
    Count,
    DomainName,
    HostName,
    IpAddress,
    IpPrefix,
    IpVersion,
    Line,
    MacAddress,
    Mtu,
    Position,
    Size,
    Text,
    Uuid,
    Word,
    clip,
)


class HostRoute(Record, frozen=True):
    """A classless static route that guests are told (RFC 3442)."""

    destination: IpPrefix
    nexthop: IpAddress


class DhcpSubnet(Record, frozen=True):
    """A subnet of a served network, with or without DHCP of its own.

    ``ipv6_ra_mode`` and ``ipv6_address_mode`` as in the API (None, ``slaac``,
    ``dhcpv6-stateful``, ``dhcpv6-stateless``). ``gateway_is_router``: a router of ours
    holds the gateway's address, so it serves metadata; otherwise DHCP does.
    """

    subnet_id: Uuid
    cidr: IpPrefix
    ip_version: IpVersion
    enable_dhcp: bool
    gateway_ip: IpAddress | None = None
    dns_nameservers: tuple[IpAddress, ...] = ()
    host_routes: tuple[HostRoute, ...] = ()
    ipv6_ra_mode: Word | None = None
    ipv6_address_mode: Word | None = None
    gateway_is_router: bool = False


class PortAddress(Record, frozen=True):
    """One address of a port and the subnet it is from."""

    ip_address: IpAddress
    subnet_id: Uuid


class DhcpOption(Record, frozen=True):
    """An extra DHCP option of a port (``extra_dhcp_opts``): a name or number, for IPv4 or IPv6."""

    name: Word
    value: Line
    ip_version: IpVersion = 4


class DhcpHost(Record, frozen=True):
    """A port whose guest may ask for its addresses."""

    port_id: Uuid
    mac_address: MacAddress
    addresses: tuple[PortAddress, ...]
    hostname: DomainName
    options: tuple[DhcpOption, ...] = ()
    domain: DomainName = ""
    """The domain of the name, where that is not the network's."""


class ServicePort(Record, frozen=True):
    """A port that belongs to an agent itself (DHCP's own, a router's): it plugs it into br-int."""

    port_id: Uuid
    mac_address: MacAddress
    addresses: tuple[PortAddress, ...]
    mtu: Mtu = 1500


class DhcpNetwork(Record, frozen=True):
    """A network that is bound to this host's DHCP agent. A dnsmasq runs where the network is
    admin up and a subnet has DHCP."""

    network_id: Uuid
    admin_state_up: bool
    mtu: Mtu
    port: ServicePort
    subnets: tuple[DhcpSubnet, ...] = ()
    hosts: tuple[DhcpHost, ...] = ()
    dns_domain: DomainName = ""
    elsewhere: tuple[Uuid, ...] = ()
    """Subnets whose addresses are given out by a gateway machine or by the guests' switches, and not by the
    agent, which has metadata for their guests all the same."""


class DeviceDhcp(Record, frozen=True):
    """The name and the options of a device's guest, where its switch answers DHCP."""

    hostname: DomainName = ""
    options: tuple[DhcpOption, ...] = ()


class SwitchedDhcp(Record, frozen=True):
    """The DHCP of a network that the switches of its guests answer. ``servers`` are the addresses of the
    network's own DHCP port, if it has one, and ``mac_address`` is its."""

    subnets: tuple[DhcpSubnet, ...]
    servers: tuple[PortAddress, ...] = ()
    mac_address: MacAddress | None = None
    dns_domain: DomainName = ""
    lease_time_s: Count = 86400


class DhcpStateRequest(Record, frozen=True):
    """``networks``: None asks for all that are bound to the host's agent."""

    host: HostName
    networks: tuple[Uuid, ...] | None = None


class DhcpState(Record, frozen=True):
    """The answer, read in one transaction. A network that was asked for and is missing here is
    not (or no longer) the agent's."""

    position: Position
    networks: tuple[DhcpNetwork, ...] = ()
    lease_time_s: Count = 86400


class LeaseChange(Record, frozen=True):
    """A lease that was ``started``, ``renewed`` or has ``ended``. Those of IPv6 that a dnsmasq gave name no
    ``mac_address``; ``expires_s``: seconds since 1970, 0 for never."""

    network_id: Uuid
    kind: Word
    ip_address: IpAddress
    mac_address: MacAddress | None = None
    expires_s: Size = 0


class LeaseReport(Record, frozen=True):
    """A report of what became of leases since the last one, oldest first."""

    host: HostName
    changes: tuple[LeaseChange, ...] = ()


class DhcpStatus(Record, frozen=True):
    """The networks that the agent serves now: those whose dnsmasq answers, and those that failed (with the
    reason). ``ports`` of served networks can't be told all that they should, with the reason."""

    host: HostName
    serving: tuple[Uuid, ...] = ()
    failed: dict[Uuid, Text] = msgspec.field(default_factory=dict)
    ports: dict[Uuid, Text] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        clip(self, "failed", "ports")
