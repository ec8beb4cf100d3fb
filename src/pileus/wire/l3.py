"""Desired state of a node's routers, as the server tells it and the L3 agent reads it."""

from __future__ import annotations

import msgspec

from pileus.wire.dhcp import HostRoute, ServicePort
from pileus.wire.records import Record


class RouterSubnet(Record, frozen=True):
    """A subnet on one of a router's ports."""

    subnet_id: str
    cidr: str
    gateway_ip: str | None = None
    ipv6_ra_mode: str | None = None
    dns_nameservers: tuple[str, ...] = ()


class RouterPort(Record, frozen=True):
    """A router's port: an interface on a project network with the subnets that it has addresses of, or the
    gateway with all subnets of its network (floating IPs may be from any of them)."""

    port: ServicePort
    network_id: str
    subnets: tuple[RouterSubnet, ...]


class FloatingIP(Record, frozen=True):
    """A floating IP whose fixed address is behind this router. ``rate_kbps`` 0: no limit."""

    floating_ip_id: str
    floating_ip_address: str
    fixed_ip_address: str
    port_id: str
    rate_kbps: int = 0
    burst_kb: int = 0


class RouterDetails(Record, frozen=True):
    """A router that is bound to this host's L3 agent."""

    router_id: str
    name: str
    admin_state_up: bool
    gateway: RouterPort | None = None
    enable_snat: bool = True
    interfaces: tuple[RouterPort, ...] = ()
    floating_ips: tuple[FloatingIP, ...] = ()
    routes: tuple[HostRoute, ...] = ()


class L3StateRequest(Record, frozen=True):
    """``routers``: None asks for all that are bound to the host's agent."""

    host: str
    routers: tuple[str, ...] | None = None


class L3State(Record, frozen=True):
    """The answer, read in one transaction. A router that was asked for and is missing here is
    not (or no longer) the agent's."""

    position: int
    routers: tuple[RouterDetails, ...] = ()


class L3Status(Record, frozen=True):
    """What the agent enforces now, after a read-back: routers, floating IPs, and failures (id to reason)."""

    host: str
    routers: tuple[str, ...] = ()
    floating_ips: tuple[str, ...] = ()
    failed: dict[str, str] = msgspec.field(default_factory=dict)
