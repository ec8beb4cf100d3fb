"""Desired state of a node's switch, as the server tells it and the switch agent reads it."""

from __future__ import annotations

import msgspec

from pileus.wire.records import Record


class FixedIP(Record, frozen=True):
    """One address of a port, with the subnet's prefix (``10.0.0.0/24``) for what it needs."""

    ip_address: str
    subnet_id: str
    cidr: str = ""
    gateway_ip: str | None = None


class AddressPair(Record, frozen=True):
    """An additional source that a port may use (allowed-address-pairs); ``ip_address`` may be a prefix."""

    ip_address: str
    mac_address: str


class RateLimit(Record, frozen=True):
    """A policer on what the guest sends; kilobits a second, and kilobits of burst.

    ``qos_id`` names the rule set it came from (seed 004: ``ovsqos``).
    """

    qos_id: str
    rate_kbps: int
    burst_kb: int


class Segment(Record, frozen=True):
    """How a network is carried: ``flat``, ``vlan`` (on ``physical_network``) or ``vxlan``/``gre``."""

    network_type: str
    physical_network: str | None = None
    segmentation_id: int | None = None


class DeviceDetails(Record, frozen=True):
    """All that the switch agent must know of one port that is bound to its host."""

    port_id: str
    network_id: str
    mac_address: str
    admin_state_up: bool = True
    port_security_enabled: bool = True
    fixed_ips: tuple[FixedIP, ...] = ()
    allowed_address_pairs: tuple[AddressPair, ...] = ()
    security_group_ids: tuple[str, ...] = ()
    device_id: str = ""
    device_owner: str = ""
    status: str = "DOWN"
    revision: int = 0
    rate_limit: RateLimit | None = None
    quarantined: bool = False
    """The port carries no packet, whatever its administrative state, its groups and its security say."""


class ForwardingEntry(Record, frozen=True):
    """One remote port of a network, for L2 population: behind which tunnel endpoint it lives."""

    mac_address: str
    ip_addresses: tuple[str, ...]
    host: str
    tunneling_ip: str


class NetworkDetails(Record, frozen=True):
    """A network with something on this host. ``forwarding`` lists the ports on *other* hosts."""

    network_id: str
    segment: Segment
    mtu: int = 1500
    admin_state_up: bool = True
    forwarding: tuple[ForwardingEntry, ...] = ()


class SecurityRule(Record, frozen=True):
    """One rule. ``ethertype`` is IPv4 or IPv6; ``protocol`` is None, a name or a number as text;
    for ICMP ``port_range_min``/``max`` are type and code. ``remote_group_id`` or
    ``remote_ip_prefix`` name the other side (both None: anyone)."""

    rule_id: str
    direction: str
    ethertype: str
    protocol: str | None = None
    port_range_min: int | None = None
    port_range_max: int | None = None
    remote_ip_prefix: str | None = None
    remote_group_id: str | None = None


class SecurityGroupDetails(Record, frozen=True):
    """A group's rules, and the addresses of its members (every port in it, on any host, and
    their allowed address pairs), for groups that rules refer to."""

    security_group_id: str
    rules: tuple[SecurityRule, ...] = ()
    member_ips: tuple[str, ...] = ()


class TunnelEndpoint(Record, frozen=True):
    """Another node of the mesh. ``tunnel_types`` as its agent reports them."""

    host: str
    tunneling_ip: str
    tunnel_types: tuple[str, ...] = ("vxlan",)


class SwitchStateRequest(Record, frozen=True):
    """What the agent wants to know again.

    ``devices``, ``networks``, ``security_groups``: None asks for everything that
    the host serves, a tuple for exactly these ids (ids that the host does not
    serve are left out of the answer).
    """

    host: str
    devices: tuple[str, ...] | None = None
    networks: tuple[str, ...] | None = None
    security_groups: tuple[str, ...] | None = None


class SwitchState(Record, frozen=True):
    """The answer, read in one transaction; ``position`` is the place in the event stream that
    it is at least as new as. ``tunnels`` is always complete."""

    position: int
    devices: tuple[DeviceDetails, ...] = ()
    networks: tuple[NetworkDetails, ...] = ()
    security_groups: tuple[SecurityGroupDetails, ...] = ()
    tunnels: tuple[TunnelEndpoint, ...] = ()


class DeviceFailure(Record, frozen=True):
    """A device that could not be wired, and why."""

    port_id: str
    reason: str


class DeviceStatus(Record, frozen=True):
    """What the agent enforces now. ``up``: port ids whose flows were read back after a barrier;
    ``down``: those whose interface has gone or that are administratively down."""

    host: str
    up: tuple[str, ...] = ()
    down: tuple[str, ...] = ()
    failed: tuple[DeviceFailure, ...] = ()
    enforcement: dict[str, str] = msgspec.field(default_factory=dict)
    """port id to the means that limits its rate: ``policing`` or ``meter``."""


class Acknowledged(Record, frozen=True):
    """The server has it in its database."""

    position: int = 0
