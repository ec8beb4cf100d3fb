"""Desired state of a node's switch, as the server tells it and the switch agent reads it."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from pileus.wire.dhcp import DeviceDhcp, SwitchedDhcp
from pileus.wire.distributed import DistributedFloatingIp, DistributedRouter, HostGateway, RoutingMac
from pileus.wire.qos import PortQos, RateLimit
from pileus.wire.records import Record
from pileus.wire.taps import PortTaps
from pileus.wire.types import (
    AddressOrPrefix,
    Count,
    HostName,
    InterfaceId,
    IpAddress,
    MacAddress,
    Mtu,
    NameLine,
    OptionalPrefix,
    OptionalWord,
    PortNumber,
    Position,
    Text,
    Uuid,
    Word,
    clip,
)


class FixedIP(Record, frozen=True):
    """One address of a port, with the subnet's prefix (``10.0.0.0/24``) for what it needs."""

    ip_address: IpAddress
    subnet_id: Uuid
    cidr: OptionalPrefix = ""
    gateway_ip: IpAddress | None = None


class AddressPair(Record, frozen=True):
    """An additional source that a port may use (allowed-address-pairs); ``ip_address`` may be a prefix."""

    ip_address: AddressOrPrefix
    mac_address: MacAddress


class PacketLog(Record, frozen=True):
    """A log that a port's packets are written into: those that its security groups let through
    (``ACCEPT``, the first of each connection), those they drop (``DROP``), or both (``ALL``)."""

    log_id: Uuid
    project_id: Text
    event: Word


class LocalIP(Record, frozen=True):
    """An address that leads to the port for those who are on its host and its network. ``passthrough``: the
    guest has the address itself; else packets get ``fixed_ip`` in its place."""

    local_ip_id: Uuid
    local_ip_address: IpAddress
    fixed_ip: IpAddress
    passthrough: bool = False


class Segment(Record, frozen=True):
    """How a network is carried: ``flat``, ``vlan`` (on ``physical_network``) or ``vxlan``/``gre``."""

    network_type: Word
    physical_network: NameLine | None = None
    segmentation_id: Count | None = None


class DeviceDetails(Record, frozen=True):
    """All that the switch agent must know of one port that is bound to its host."""

    port_id: Uuid
    network_id: Uuid
    mac_address: MacAddress
    admin_state_up: bool = True
    port_security_enabled: bool = True
    fixed_ips: tuple[FixedIP, ...] = ()
    allowed_address_pairs: tuple[AddressPair, ...] = ()
    security_group_ids: tuple[Uuid, ...] = ()
    device_id: Text = ""
    device_owner: Text = ""
    status: OptionalWord = "DOWN"
    revision: Count = 0
    rate_limit: RateLimit | None = None
    """The limit of what the guest sends; the rest of its policy is in ``qos``."""
    qos: PortQos | None = None
    logs: tuple[PacketLog, ...] = ()
    quarantined: bool = False
    """The port carries no packet, whatever its administrative state, its groups and its security say."""
    parent_id: Uuid | None = None
    """The port of the trunk whose interface carries this one's frames, with the tag ``vlan_id``."""
    vlan_id: Count = 0
    tx_steering: Word | None = None
    """``thread`` or ``hash``: how the switch chooses a transmit queue (a hint); None: by itself."""
    local_ips: tuple[LocalIP, ...] = ()
    replicated: bool = False
    """Other hosts have the same port, one of which answers: frames for it go to all of them."""
    taps: PortTaps | None = None
    """Copies of its packets for others, and of others' for it."""
    dhcp: DeviceDhcp | None = None
    """Where the network's DHCP is answered by the switch; None: this device is not answered."""


class ForwardingEntry(Record, frozen=True):
    """One remote port of a network, for L2 population: behind which tunnel endpoint it lives. The address
    ``00:00:00:00:00:00`` is of an endpoint behind which there are others, whom nobody knows (a physical
    switch)."""

    mac_address: MacAddress
    ip_addresses: tuple[IpAddress, ...]
    host: HostName
    tunneling_ip: IpAddress


class RemoteAddress(Record, frozen=True):
    """A port on another host, which is reached by a physical network."""

    mac_address: MacAddress
    ip_addresses: tuple[IpAddress, ...]


class NetworkDetails(Record, frozen=True):
    """A network with something on this host. ``forwarding`` lists the ports on *other* hosts."""

    network_id: Uuid
    segment: Segment
    mtu: Mtu = 1500
    admin_state_up: bool = True
    forwarding: tuple[ForwardingEntry, ...] = ()
    dhcp: SwitchedDhcp | None = None
    """How the switch answers DHCP of its devices; None: it does not."""
    vlan_transparent: bool = False
    """Whether frames that guests have tagged pass, with their tags; ``qinq``: and wear the network's own VLAN
    as a service tag (IEEE 802.1ad) on the physical network."""
    qinq: bool = False
    remote: tuple[RemoteAddress, ...] = ()
    """Of a network that is not carried by tunnels and has a distributed router: the ports on other hosts."""


class SecurityRule(Record, frozen=True):
    """One rule. ``ethertype`` is IPv4 or IPv6; ``protocol`` is None, a name or a number as text;
    for ICMP ``port_range_min``/``max`` are type and code. ``remote_group_id``, ``remote_address_group_id``
    or ``remote_ip_prefix`` name the other side (all None: anyone)."""

    rule_id: Uuid
    direction: Word
    ethertype: Word
    protocol: Word | None = None
    port_range_min: PortNumber | None = None
    port_range_max: PortNumber | None = None
    remote_ip_prefix: AddressOrPrefix | None = None
    remote_group_id: Uuid | None = None
    remote_address_group_id: Uuid | None = None


class SecurityGroupDetails(Record, frozen=True):
    """A group's rules, where ports of the host are in it (``has_rules``), and the addresses of its members
    (every port in it, on any host, and their allowed address pairs), where rules on the host refer to it
    (``has_members``). Of a stateless group no connection is tracked: what it lets in and what it lets out are
    two things."""

    security_group_id: Uuid
    rules: tuple[SecurityRule, ...] = ()
    member_ips: tuple[AddressOrPrefix, ...] = ()
    stateful: bool = True
    has_rules: bool = True
    has_members: bool = True


class SecurityGroupChange(Record, frozen=True):
    """Members that came to a group since a position, or left it: what differs from what the agent has.

    The rest is as it was, but for what the host is no longer told: the rules or the members."""

    security_group_id: Uuid
    has_rules: bool = True
    has_members: bool = True
    joined: tuple[AddressOrPrefix, ...] = ()
    left: tuple[AddressOrPrefix, ...] = ()


class AddressGroupDetails(Record, frozen=True):
    """The prefixes in an address group that rules refer to."""

    address_group_id: Uuid
    addresses: tuple[AddressOrPrefix, ...] = ()


class TunnelEndpoint(Record, frozen=True):
    """Another node of the mesh. ``tunnel_types`` as its agent reports them."""

    host: HostName
    tunneling_ip: IpAddress
    tunnel_types: tuple[Word, ...] = ("vxlan",)


class SwitchStateRequest(Record, frozen=True):
    """Asks for what the agent must read again.

    ``devices``, ``networks``, ``security_groups``, ``address_groups``: None asks for
    everything that the host serves, a tuple for exactly these ids (ids that the host
    does not serve are left out of the answer). A device brings the subports of its trunk along.

    ``groups_since`` is the position at which the agent has all security groups that it asks for by their
    ids: of those whose members alone have changed since, the answer has the changes. 0: it has none of them.
    The position is one in ``groups_history``, which the answers name from which the agent has them.
    """

    host: HostName
    devices: tuple[InterfaceId, ...] | None = None
    networks: tuple[Uuid, ...] | None = None
    security_groups: tuple[Uuid, ...] | None = None
    address_groups: tuple[Uuid, ...] | None = None
    groups_since: Position = 0
    groups_history: Text = ""


class SwitchState(Record, frozen=True):
    """The answer, read in one transaction; ``position`` is the place in the event stream that
    it is at least as new as. ``tunnels`` is always complete."""

    position: Position
    history: Text = ""
    """A word for the events that the position is one of; those of a restored database have another."""
    devices: tuple[DeviceDetails, ...] = ()
    networks: tuple[NetworkDetails, ...] = ()
    security_groups: tuple[SecurityGroupDetails, ...] = ()
    group_changes: tuple[SecurityGroupChange, ...] = ()
    """Of security groups that are not in ``security_groups``, as the agent knows their rules."""
    address_groups: tuple[AddressGroupDetails, ...] = ()
    tunnels: tuple[TunnelEndpoint, ...] = ()
    routers: tuple[DistributedRouter, ...] = ()
    """Always complete, too, as is all that distributed routers have."""
    floating_ips: tuple[DistributedFloatingIp, ...] = ()
    gateways: tuple[HostGateway, ...] = ()
    routing_mac: RoutingMac | None = None


class DeviceFailure(Record, frozen=True):
    """A device that could not be wired, and why."""

    port_id: Uuid
    reason: Text

    def __post_init__(self) -> None:
        clip(self, "reason")


class DeviceStatus(Record, frozen=True):
    """The state of devices on this host now. ``up``: port ids whose flows were read back after a barrier;
    ``down``: those whose interface has gone or that are administratively down."""

    host: HostName
    up: tuple[Uuid, ...] = ()
    down: tuple[Uuid, ...] = ()
    failed: tuple[DeviceFailure, ...] = ()
    enforcement: dict[Uuid, Annotated[Word, Meta(max_length=16)]] = msgspec.field(default_factory=dict)
    """port id to the means that limits its rate: ``policing`` or ``meter``."""
    taps: dict[Uuid, Annotated[Word, Meta(max_length=16)]] = msgspec.field(default_factory=dict)
    """id of a tap flow or tap service whose source or target is here, to ``ACTIVE`` or ``DOWN``."""
    floating_ips: tuple[Uuid, ...] = ()
    """Those that this host translates now."""
    dhcp: dict[Uuid, Text] = msgspec.field(default_factory=dict)
    """Ports whose guests their switch can't tell all that they should be told, with the reason."""

    def __post_init__(self) -> None:
        clip(self, "dhcp")


class Acknowledged(Record, frozen=True):
    """The server has it in its database."""

    position: Position = 0
