"""Desired state of a node's routers, as the server tells it and the L3 agent reads it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from pileus.wire.dhcp import HostRoute, ServicePort
from pileus.wire.qos import AddressQos
from pileus.wire.records import Record
from pileus.wire.types import (
    HostName,
    IpAddress,
    IpPrefix,
    Position,
    ServicePortNumber,
    Text,
    Uuid,
    Word,
    clip,
)


class RouterSubnet(Record, frozen=True):
    """A subnet on one of a router's ports."""

    subnet_id: Uuid
    cidr: IpPrefix
    gateway_ip: IpAddress | None = None
    ipv6_ra_mode: Word | None = None
    dns_nameservers: tuple[IpAddress, ...] = ()
    delegated: bool = False
    """Its prefix is asked for outside; ``::/64`` until there is one."""


class RouterPort(Record, frozen=True):
    """A router's port: an interface on a project network with the subnets that it has addresses of, or the
    gateway with all subnets of its network (floating IPs may be from any of them)."""

    port: ServicePort
    network_id: Uuid
    subnets: tuple[RouterSubnet, ...]


class FloatingIP(Record, frozen=True):
    """A floating IP whose fixed address is behind this router."""

    floating_ip_id: Uuid
    floating_ip_address: IpAddress
    fixed_ip_address: IpAddress
    port_id: Uuid


class PortForwarding(Record, frozen=True):
    """Ports of a floating IP that lead to an address behind this router: each to its own port there, by
    the order of both ranges, or all to one (``internal_last`` is ``internal_first``)."""

    port_forwarding_id: Uuid
    floating_ip_id: Uuid
    floating_ip_address: IpAddress
    protocol: Literal["tcp", "udp"]
    external_first: ServicePortNumber
    external_last: ServicePortNumber
    fixed_ip_address: IpAddress
    internal_first: ServicePortNumber
    internal_last: ServicePortNumber


class ConntrackHelper(Record, frozen=True):
    """A protocol whose connections to a port are read for further ones."""

    helper: Word
    protocol: Literal["tcp", "udp"]
    port: ServicePortNumber


class HaDetails(Record, frozen=True):
    """How a router of high availability hears of itself on other hosts: by VRRP, with a port on a network
    that all routers of its project share. ``port`` is this host's; ``cidr`` the network's only subnet."""

    port: ServicePort
    network_id: Uuid
    cidr: IpPrefix
    vr_id: Annotated[int, Meta(ge=1, le=255)]
    advert_interval_ms: Annotated[int, Meta(ge=10, le=40950)] = 200


class MeteringRule(Record, frozen=True):
    """Traffic through the gateway that a label counts, or (``excluded``) does not, by its inner addresses."""

    direction: Literal["ingress", "egress"]
    excluded: bool
    source: IpPrefix | None = None
    destination: IpPrefix | None = None


class MeteringLabel(Record, frozen=True):
    """A counter, and what it counts."""

    label_id: Uuid
    rules: tuple[MeteringRule, ...] = ()


class RouterDetails(Record, frozen=True):
    """A router that is bound to this host's L3 agent."""

    router_id: Uuid
    name: Text
    admin_state_up: bool
    gateway: RouterPort | None = None
    """The first one."""
    enable_snat: bool = True
    interfaces: tuple[RouterPort, ...] = ()
    floating_ips: tuple[FloatingIP, ...] = ()
    routes: tuple[HostRoute, ...] = ()
    port_forwardings: tuple[PortForwarding, ...] = ()
    limits: tuple[AddressQos, ...] = ()
    """Of floating IPs and of the gateway's own addresses."""
    conntrack_helpers: tuple[ConntrackHelper, ...] = ()
    metering_labels: tuple[MeteringLabel, ...] = ()
    enable_ndp_proxy: bool = False
    """Nobody comes in to the inner IPv6 subnets but for the addresses in ``ndp_proxies``."""
    ndp_proxies: tuple[IpAddress, ...] = ()
    ha: HaDetails | None = None
    more_gateways: tuple[RouterPort, ...] = ()
    enable_default_route_ecmp: bool = False
    """Packets of ports without an address of their own outside leave by all gateways; else by the first."""
    enable_default_route_bfd: bool = False
    """Next hops outside are watched by BFD; one that is down is not used."""
    standby: bool = False
    """Another agent serves it until this one reports that all is ready; until then nothing answers here."""
    leaves_in_s: Annotated[float, Meta(ge=0)] | None = None
    """It was taken from the agent, which goes on serving it for a moment, and then reports once."""


class L3StateRequest(Record, frozen=True):
    """``routers``: None asks for all that are bound to the host's agent."""

    host: HostName
    routers: tuple[Uuid, ...] | None = None


class L3State(Record, frozen=True):
    """The answer, read in one transaction. A router that was asked for and is missing here is
    not (or no longer) the agent's."""

    position: Position
    routers: tuple[RouterDetails, ...] = ()


class L3Status(Record, frozen=True):
    """In force now, after a read-back: routers, floating IPs, and failures (id to reason)."""

    host: HostName
    routers: tuple[Uuid, ...] = ()
    floating_ips: tuple[Uuid, ...] = ()
    failed: dict[Uuid, Text] = msgspec.field(default_factory=dict)
    ha_states: dict[Uuid, Word] = msgspec.field(default_factory=dict)
    """Of routers of high availability: ``active`` or ``standby``."""
    ready: tuple[Uuid, ...] = ()
    """Those that other agents serve still and could leave to this one now."""
    prefixes: dict[Uuid, IpPrefix] = msgspec.field(default_factory=dict)
    """Delegated prefixes that are held, by subnet; ``::/64`` where one was lost."""

    def __post_init__(self) -> None:
        clip(self, "failed")
