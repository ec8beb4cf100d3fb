"""Distributed routers as the switches of their guests' hosts see them."""

from __future__ import annotations

from pileus.wire.dhcp import HostRoute
from pileus.wire.records import Record
from pileus.wire.types import IpAddress, MacAddress, Uuid


class DistributedInterface(Record, frozen=True):
    """A router's port on a network: each host of the network is the router itself for its own guests.
    ``central_mac``: the port of the same router where the rest of it is, for what a host can't route."""

    network_id: Uuid
    mac_address: MacAddress
    ip_addresses: tuple[IpAddress, ...]
    central_mac: MacAddress | None = None


class DistributedRouter(Record, frozen=True):
    """A router of networks of which at least one has a device on the host."""

    router_id: Uuid
    interfaces: tuple[DistributedInterface, ...]
    routes: tuple[HostRoute, ...] = ()
