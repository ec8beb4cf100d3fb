"""A namespace of an agent, with its ports on the integration bridge, as it shall be.

A port of a namespace is a veth pair with the same name at both ends: one is on the bridge with the
port's id (the switch agent wires it like any other), the other has the addresses.
"""

from __future__ import annotations

import msgspec

from pileus.drivers.netlink.links import Hop, PolicyRule

OWNER_KEY = "pileus-owner"
"""In external_ids of a Port of ours: which agent put it there."""
INDEX_KEY = "pileus-ifindex"
"""In external_ids of a Port of ours: the interface that it was made for. A switch goes on listening to
that one when another takes its name."""


class NamespacePort(msgspec.Struct, frozen=True):
    """An interface of a namespace. ``addresses`` with their prefix length. ``shared``: another program gives
    and takes addresses and routes here, too."""

    name: str
    port_id: str
    mac: str
    mtu: int
    addresses: tuple[str, ...] = ()
    shared: bool = False
    proxied: tuple[str, ...] = ()
    """IPv6 addresses of others for which it answers neighbours (RFC 4389)."""
    link_local: bool = False
    """With its addresses it has the one that follows from the hardware address, also where the kernel was
    told to make none."""


class NamespaceRoute(msgspec.Struct, frozen=True):
    """A route inside of a namespace, by a neighbour or (``via`` None) on the link."""

    destination: str
    device: str
    via: str | None = None
    table: int = 0
    hops: tuple[Hop, ...] = ()
    """In the place of both: several neighbours, each on a device."""

    @property
    def devices(self) -> set[str]:
        """The devices that it leads by."""
        return {hop.device for hop in self.hops} or {self.device}


class Namespace(msgspec.Struct, frozen=True):
    """A namespace with all that is in it. ``key``: the id of what it is made for."""

    key: str
    name: str
    ports: tuple[NamespacePort, ...] = ()
    routes: tuple[NamespaceRoute, ...] = ()
    sysctls: dict[str, str] = {}
    rules: tuple[PolicyRule, ...] = ()
