"""The kernel's bridges, and what joins networks to them: VXLAN devices, VLANs of network cards, members.

(bridge(8), ip-link(8), Documentation/networking/vxlan.rst.) What we make is labelled by its ``ifalias``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import msgspec

LABEL = "pileus-bridge"

Entry = tuple[str, str]
"""Of a VXLAN device's table: a MAC address, and the other end behind which it is. The address of zeros stands
for everybody of whom no more is known; it may have many ends."""
EVERYBODY = "00:00:00:00:00:00"


class Bridge(msgspec.Struct, frozen=True):
    """A bridge without a spanning tree. ``tracked``: IP packets across it pass the hooks of the family inet,
    where connections are tracked (br_netfilter). Its MTU is the least of its members'."""

    name: str
    tracked: bool = False


class Vxlan(msgspec.Struct, frozen=True):
    """A VXLAN device that learns nothing: its table is told."""

    name: str
    segment: int
    local: str
    port: int = 4789
    mtu: int = 1450


class Vlan(msgspec.Struct, frozen=True):
    """A VLAN of a network card."""

    name: str
    link: str
    vlan_id: int
    mtu: int = 1500


class Device(msgspec.Struct, frozen=True):
    """An interface as it is. ``made`` is what it is where it is one of the three kinds; its ``label`` says
    whose."""

    name: str
    index: int
    label: str = ""
    master: str | None = None
    up: bool = False
    mtu: int = 1500
    addresses: tuple[str, ...] = ()
    made: Bridge | Vxlan | Vlan | None = None


class Seen(msgspec.Struct, frozen=True):
    """All interfaces by name, and the tables of the VXLAN devices."""

    devices: Mapping[str, Device] = {}
    entries: Mapping[str, frozenset[Entry]] = {}


class Change(msgspec.Struct, frozen=True):
    """Things to be done, in this order: links go, links are made (or made anew) and set up, members are
    moved (None: out of any bridge), entries come and go."""

    removed: tuple[str, ...] = ()
    made: tuple[Bridge | Vxlan | Vlan, ...] = ()
    masters: tuple[tuple[str, str | None], ...] = ()
    added: tuple[tuple[str, Entry], ...] = ()
    dropped: tuple[tuple[str, Entry], ...] = ()

    def __len__(self) -> int:
        return sum(map(len, (self.removed, self.made, self.masters, self.added, self.dropped)))


class Bridges(Protocol):
    """The verbs; both raise LinkError."""

    async def read(self) -> Seen:
        """Everything, by one visit."""
        ...

    async def apply(self, change: Change) -> dict[str, str]:
        """Do all of it that can be done; the devices that could not be, with the reason."""
        ...


def removal(names: Iterable[str]) -> Change:
    """Take links away."""
    return Change(removed=tuple(names))
