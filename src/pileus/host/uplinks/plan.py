"""A node's declared bridges, bonds and VLANs against what the switch's database has. Pure.

What is declared and not there is made and labelled; what is labelled and not as declared is changed, or taken
away where it is declared no more. What somebody else made is used where it already is what is declared; where
it is not, it is left as it is, and told with its reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from pileus.drivers.interfaces.spec import OWNER, OWNER_KEY, HostNetwork


class Port(msgspec.Struct, frozen=True):
    """A port as it is. ``columns`` are those of its row that say more than its interfaces do."""

    bridge: str
    interfaces: frozenset[str]
    external_ids: Mapping[str, str]
    columns: Mapping[str, Any]

    @property
    def is_ours(self) -> bool:
        return self.external_ids.get(OWNER_KEY) == OWNER


class Bridge(msgspec.Struct, frozen=True):
    """A bridge as it is, with the names of its ports."""

    external_ids: Mapping[str, str]
    ports: frozenset[str]


class Seen(msgspec.Struct, frozen=True):
    """Bridges and ports by name."""

    bridges: Mapping[str, Bridge] = {}
    ports: Mapping[str, Port] = {}


class WantedPort(msgspec.Struct, frozen=True):
    """A port as it shall be; in ``other_config`` of its columns None takes a key away."""

    name: str
    bridge: str
    interfaces: tuple[str, ...]
    columns: dict[str, Any] = {}
    interface: dict[str, Any] = {}


class Plan(msgspec.Struct, frozen=True):
    """``first`` are ports to be taken away before others are made, since one interface is in one port.
    ``released`` are bridges that somebody else uses (by name, the owner that they get; None: nobody)."""

    first: tuple[str, ...] = ()
    bridges: tuple[str, ...] = ()
    ports: tuple[WantedPort, ...] = ()
    removed_bridges: tuple[str, ...] = ()
    released: dict[str, str | None] = {}
    refused: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self.first or self.bridges or self.ports or self.removed_bridges or self.released)


def wanted_ports(network: HostNetwork) -> Iterator[WantedPort]:
    """The ports of all declared bridges of Open vSwitch."""
    for bridge in network.switches().values():
        yield from (WantedPort(port, bridge.name, (port,)) for port in bridge.ports)
    for bond in network.bonds:
        config = dict.fromkeys(("lacp-time", "bond-primary")) | bond.other_config()
        columns = {
            "bond_mode": bond.mode,
            "lacp": bond.lacp,
            "bond_updelay": bond.up_delay_ms,
            "bond_downdelay": bond.down_delay_ms,
            "other_config": config,
        }
        yield WantedPort(bond.name, bond.bridge, bond.members, columns)
    for vlan in network.inner_vlans():
        internal = {"type": "internal"}
        yield WantedPort(vlan.name, vlan.link, (vlan.name,), {"tag": vlan.vlan_id}, internal)


def plan(network: HostNetwork, seen: Seen, mapped: Iterable[str], lower_owner: str) -> Plan:
    """Compare. ``mapped`` are the bridges of physical networks: the switch agent, whose label is
    ``lower_owner``, takes those over that are declared no more."""
    wanted = {port.name: port for port in wanted_ports(network)}
    holders = {interface: name for name, port in seen.ports.items() for interface in port.interfaces}
    first = {name for name, port in seen.ports.items() if port.is_ours and name not in wanted}
    ports, refused = [], {}
    for port in wanted.values():
        present = seen.ports.get(port.name)
        if why := _taken(port, seen, holders, wanted):
            refused[port.name] = why
            continue
        if present is not None and _is_as(present, port):
            if present.is_ours or present.external_ids.get(OWNER_KEY) is None:
                continue
        elif present is not None and not present.is_ours:
            refused[port.name] = f"somebody else made it, on {present.bridge}, and it differs"
            continue
        elif present is not None and present.bridge != port.bridge:
            first.add(port.name)
        first |= {
            holder
            for interface in port.interfaces
            if (holder := holders.get(interface)) is not None and holder != port.name
        }
        ports.append(port)
    return Plan(
        first=tuple(sorted(first)),
        bridges=tuple(_bridges(network, seen, lower_owner)),
        ports=tuple(ports),
        refused=refused,
        **_gone(network, seen, set(mapped), lower_owner),
    )


def _taken(
    port: WantedPort, seen: Seen, holders: Mapping[str, str], wanted: Mapping[str, WantedPort]
) -> str | None:
    """Why a port can't be made: one of its interfaces is in another's port."""
    for interface in port.interfaces:
        holder = holders.get(interface)
        if holder is None or holder == port.name:
            continue
        if not seen.ports[holder].is_ours:
            return f"{interface} is in port {holder} already, which somebody else made"
        if holder in wanted and interface in wanted[holder].interfaces:
            return f"{interface} is in port {holder}, too"  # pragma: no cover - refused with the settings
    return None


def _is_as(present: Port, port: WantedPort) -> bool:
    if present.bridge != port.bridge or present.interfaces != frozenset(port.interfaces):
        return False
    for column, wanted in port.columns.items():
        value = present.columns.get(column)
        if isinstance(wanted, dict):
            if any(value is None or value.get(key) != one for key, one in wanted.items()):
                return False
        elif (value or _UNSET.get(column)) != (wanted or _UNSET.get(column)):
            return False
    return True


_UNSET = {"lacp": "off", "bond_mode": "active-backup", "bond_updelay": 0, "bond_downdelay": 0}
"""The meaning of an empty column."""


def _bridges(network: HostNetwork, seen: Seen, lower_owner: str) -> Iterator[str]:
    """Those to be made, and those that the switch agent made before they were declared."""
    for name in network.switches():
        present = seen.bridges.get(name)
        if present is None or present.external_ids.get(OWNER_KEY) == lower_owner:
            yield name


def _gone(network: HostNetwork, seen: Seen, mapped: set[str], lower_owner: str) -> dict[str, Any]:
    """Bridges of ours that are declared no more: taken away, unless somebody else uses them."""
    removed, released = [], dict[str, str | None]()
    for name, bridge in seen.bridges.items():
        if bridge.external_ids.get(OWNER_KEY) != OWNER or name in network.switches():
            continue
        others = {port for port in bridge.ports - {name} if not _is_of(seen, port, lower_owner)}
        if name in mapped:
            released[name] = lower_owner if not others else None
        elif others:
            released[name] = None
        else:
            removed.append(name)
    return {"removed_bridges": tuple(sorted(removed)), "released": released}


def _is_of(seen: Seen, port: str, lower_owner: str) -> bool:
    present = seen.ports.get(port)
    return present is not None and present.external_ids.get(OWNER_KEY) in (OWNER, lower_owner)
