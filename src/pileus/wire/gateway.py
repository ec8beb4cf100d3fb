"""Desired state of a node's gateway machines: routers that are virtual machines, as their agent reads it.

The machine itself is a server like any other, which the hypervisor agent has. What it is to be inside is told
here, and given to it by the agent through the hypervisor.
"""

from __future__ import annotations

from pileus.wire.dhcp import DhcpNetwork
from pileus.wire.l3 import RouterDetails
from pileus.wire.records import Record
from pileus.wire.types import Count, HostName, Position, Uuid


class GatewayMachine(Record, frozen=True):
    """A router whose machine is on this host. ``served``: for each interface that gives out addresses its
    network, with the subnets of that interface alone; the network's ``port`` is the interface's."""

    server_id: Uuid
    router: RouterDetails
    served: tuple[DhcpNetwork, ...] = ()


class GatewayStateRequest(Record, frozen=True):
    """``routers``: None asks for all whose machine is on the host."""

    host: HostName
    routers: tuple[Uuid, ...] | None = None


class GatewayState(Record, frozen=True):
    """The answer, read in one transaction. A router that was asked for and is missing here has its machine
    elsewhere, or none."""

    position: Position
    machines: tuple[GatewayMachine, ...] = ()
    lease_time_s: Count = 86400
