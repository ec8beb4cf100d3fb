"""Physical switches, as their agent tells of them and is told what they should carry."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from pileus.wire.records import Record
from pileus.wire.switch import ForwardingEntry, Segment
from pileus.wire.types import HostName, IpAddress, MacAddress, Position, Text, Uuid, Word, clip

PhysicalPort = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}\Z")]
VlanTag = Annotated[int, Meta(ge=0, le=4094)]


class PhysicalSwitch(Record, frozen=True):
    """A switch that a node drives. ``kind``: ``vtep`` or ``ssh``."""

    name: HostName
    kind: Word
    ports: tuple[PhysicalPort, ...] = ()
    tunnel_ip: IpAddress | None = None


class PhysicalStateRequest(Record, frozen=True):
    """These switches are here: what should they carry?"""

    host: HostName
    switches: tuple[PhysicalSwitch, ...] = ()


class PhysicalAttachment(Record, frozen=True):
    """A network on a switch's port, with the tag ``vlan`` or without one (0)."""

    switch: HostName
    port: PhysicalPort
    vlan: VlanTag
    network_id: Uuid


class PhysicalNetwork(Record, frozen=True):
    """A network that a switch carries, with all ports that it has on nodes."""

    network_id: Uuid
    segment: Segment
    forwarding: tuple[ForwardingEntry, ...] = ()


class PhysicalState(Record, frozen=True):
    """All that the switches of a node should carry. ``refused``: switches that another node drives."""

    position: Position
    attachments: tuple[PhysicalAttachment, ...] = ()
    networks: tuple[PhysicalNetwork, ...] = ()
    refused: tuple[HostName, ...] = ()


class LearnedAddress(Record, frozen=True):
    """A machine at a switch's port, in a network."""

    network_id: Uuid
    mac_address: MacAddress


class PhysicalStatus(Record, frozen=True):
    """The switches of a node after a pass: all addresses that each has seen, and why one is not as it should
    be."""

    host: HostName
    learned: dict[HostName, tuple[LearnedAddress, ...]] = msgspec.field(default_factory=dict)
    failed: dict[HostName, Text] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        clip(self, "failed")
