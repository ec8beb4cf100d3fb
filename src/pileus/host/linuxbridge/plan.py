"""Plans the links of a node's networks and devices, against those that are there. Pure.

A network has a bridge of its own (``brq…``), which one uplink joins to its segment: a VXLAN device whose
table is told (no learning), a VLAN of a network card, or the card itself; a physical network for which
somebody made a bridge has that one in its place. Devices and uplinks are members. What bears our label and
is not wanted goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from pileus.drivers.linuxbridge.bridges import (
    EVERYBODY,
    LABEL,
    Bridge,
    Change,
    Device,
    Entry,
    Seen,
    Vlan,
    Vxlan,
)
from pileus.host.l2.model import Model
from pileus.host.linuxbridge.filtering import Filtered
from pileus.host.linuxbridge.settings import LinuxBridgeSettings, bridge_name, vlan_name, vxlan_name
from pileus.wire.switch import DeviceDetails, NetworkDetails


class NotCarried(ValueError):
    """Why this node can't carry a network."""


class Carried(msgspec.Struct, frozen=True):
    """How a network is carried: its bridge (``made`` by us or somebody else's), and the uplink, if any, with
    what makes it (None: a network card)."""

    bridge: str
    made: bool
    uplink: str | None = None
    device: Vxlan | Vlan | None = None
    entries: frozenset[Entry] = frozenset()


class Links(msgspec.Struct, frozen=True):
    """Everything that shall be. ``failed``: port id to the reason; ``dead``: interfaces that nobody vouches
    for and those of devices that are down."""

    networks: dict[str, Carried]
    wired: dict[str, Filtered]
    failed: dict[str, str]
    dead: tuple[str, ...]


def links(
    model: Model,
    plugged: Mapping[str, str],
    doubles: Iterable[str],
    seen: Seen,
    settings: LinuxBridgeSettings,
) -> Links:
    """Decide for each plugged device (port id to interface)."""
    carried: dict[str, Carried] = {}
    reasons: dict[str, str] = {}
    wired: dict[str, Filtered] = {}
    failed: dict[str, str] = {}
    dead = list(doubles)
    for port_id, interface in sorted(plugged.items()):
        details = model.devices.get(port_id)
        network = model.networks.get(details.network_id) if details is not None else None
        if details is None or network is None or not _is_up(details, network):
            dead.append(interface)
            continue
        key = network.network_id
        if key not in carried and key not in reasons:
            try:
                carried[key] = _carry(network, seen, settings)
            except NotCarried as error:
                reasons[key] = str(error)
        if key in reasons:
            failed[port_id] = reasons[key]
        elif interface not in seen.devices:
            failed[port_id] = f"{interface}: no such interface"
        else:
            wired[port_id] = Filtered(details, interface, carried[key].bridge)
    used = {one.bridge for one in wired.values()}
    return Links(
        {key: one for key, one in carried.items() if one.bridge in used}, wired, failed, tuple(sorted(dead))
    )


def _is_up(details: DeviceDetails, network: NetworkDetails) -> bool:
    return details.admin_state_up and not details.quarantined and network.admin_state_up


def _carry(network: NetworkDetails, seen: Seen, settings: LinuxBridgeSettings) -> Carried:
    segment, name = network.segment, bridge_name(network.network_id)
    number = segment.segmentation_id
    physical = segment.physical_network or ""
    match segment.network_type:
        case "vxlan" if number is not None:
            if not settings.tunneling_ip:
                raise NotCarried("this node has no underlay address (switch.tunneling_ip)")
            tunnel = vxlan_name(number)
            device = Vxlan(tunnel, number, settings.tunneling_ip, settings.vxlan_port, network.mtu)
            return Carried(name, True, tunnel, device, frozenset(_entries(network)))
        case "flat":
            if (theirs := dict(settings.bridges).get(physical)) is not None:
                if theirs not in seen.devices or not isinstance(seen.devices[theirs].made, Bridge):
                    raise NotCarried(f"there is no bridge {theirs} of physical network {physical}")
                return Carried(theirs, False)
            return Carried(name, True, _card(physical, seen, settings, alone=True))
        case "vlan" if number is not None:
            card = _card(physical, seen, settings, alone=False)
            tagged = vlan_name(card, number)
            return Carried(name, True, tagged, Vlan(tagged, card, number, network.mtu))
    raise NotCarried(f"Linux bridges carry no {segment.network_type} networks")


def _card(physical: str, seen: Seen, settings: LinuxBridgeSettings, *, alone: bool) -> str:
    card = dict(settings.interfaces).get(physical)
    if card is None:
        raise NotCarried(f"this node has no network card for physical network {physical}")
    if card not in seen.devices:
        raise NotCarried(f"there is no network card {card} of physical network {physical}")
    # In a bridge a card loses its addresses, and whoever is logged in by them his way.
    outer = [one for one in seen.devices[card].addresses if not one.startswith("fe80:")]
    if alone and outer:
        raise NotCarried(f"{card} has addresses ({', '.join(outer)}): give it a bridge, and name that")
    return card


def _entries(network: NetworkDetails) -> Iterator[Entry]:
    """Who is behind which end; an address that two ports have is found by asking everybody."""
    ends: dict[str, set[str]] = {}
    for entry in network.forwarding:
        ends.setdefault(entry.mac_address.lower(), set()).add(entry.tunneling_ip)
        yield EVERYBODY, entry.tunneling_ip
    for mac_address, some in ends.items():
        if len(some) == 1:
            yield mac_address, next(iter(some))


def making(wanted: Links, seen: Seen, *, tracked: bool) -> Change:
    """Links that are to be made or set, before anything is a member; tables of VXLAN devices."""
    removed: list[str] = []
    made: dict[str, Bridge | Vxlan | Vlan] = {}
    added: list[tuple[str, Entry]] = []
    dropped: list[tuple[str, Entry]] = []
    for one in wanted.networks.values():
        if one.made:
            _make(Bridge(one.bridge, tracked), seen, removed, made)
        if one.device is not None:
            _make(one.device, seen, removed, made)
            present = seen.entries.get(one.device.name, frozenset())
            if one.device.name in removed:
                present = frozenset()
            added += [(one.device.name, entry) for entry in sorted(one.entries - present)]
            dropped += [(one.device.name, entry) for entry in sorted(present - one.entries)]
    return Change(
        removed=tuple(removed), made=tuple(made.values()), added=tuple(added), dropped=tuple(dropped)
    )


def _make(
    wanted: Bridge | Vxlan | Vlan, seen: Seen, removed: list[str], made: dict[str, Bridge | Vxlan | Vlan]
) -> None:
    present = seen.devices.get(wanted.name)
    if present is not None and present.made == wanted and present.up and present.label == LABEL:
        return
    if present is not None and not _can_become(present, wanted):
        removed.append(wanted.name)
    made[wanted.name] = wanted


def _can_become(present: Device, wanted: Bridge | Vxlan | Vlan) -> bool:
    """Whether it is the same but for what can be set."""
    match present.made, wanted:
        case Bridge(), Bridge():
            return True
        case Vxlan() as one, Vxlan() as other:
            return (one.segment, one.local, one.port) == (other.segment, other.local, other.port)
        case Vlan() as first, Vlan() as second:
            return (first.link, first.vlan_id) == (second.link, second.vlan_id)
    return False


def membership(wanted: Links, seen: Seen) -> Change:
    """Members that are to be moved; out of our bridges goes what was plugged and is dead."""
    masters = {one.interface: one.bridge for one in wanted.wired.values()}
    masters |= {one.uplink: one.bridge for one in wanted.networks.values() if one.uplink is not None}
    moves: list[tuple[str, str | None]] = [
        (name, bridge)
        for name, bridge in sorted(masters.items())
        if name not in seen.devices or seen.devices[name].master != bridge or not seen.devices[name].up
    ]
    moves += [
        (name, None)
        for name in wanted.dead
        if name not in masters and name in seen.devices and seen.devices[name].master is not None
    ]
    return Change(masters=tuple(moves))


def stale(wanted: Links, seen: Seen) -> Change:
    """Links of ours that nothing needs any more."""
    kept = {one.bridge for one in wanted.networks.values()}
    kept |= {one.uplink for one in wanted.networks.values() if one.uplink is not None}
    return Change(removed=tuple(sorted(name for name in ours(seen) if name not in kept)))


def ours(seen: Seen) -> list[str]:
    """All links that bear our label."""
    return [name for name, one in seen.devices.items() if one.label == LABEL and one.made is not None]


def zones(wanted: Links, seen: Seen) -> dict[str, int]:
    """Each bridge's number for connection tracking: its index, which no other has while it is there."""
    found: dict[str, int] = {}
    used: set[int] = set()
    for name in sorted({one.bridge for one in wanted.wired.values()}):
        if name not in seen.devices:
            continue
        number = seen.devices[name].index & 0xFFFF
        while number in used or number == 0:
            number = (number + 1) & 0xFFFF
        used.add(number)
        found[name] = number
    return found


class Permits(msgspec.Struct, frozen=True):
    """The permits of a device's profile: rules, and the members of the groups that they name."""

    rules: frozenset[str]
    members: frozenset[tuple[str, str]]


def permits(model: Model, group_ids: Iterable[str]) -> Permits:
    """Collect what these groups let pass together."""
    rules, members = set(), set()
    for group_id in group_ids:
        group = model.groups.get(group_id)
        for rule in group.rules if group is not None else ():
            rules.add(str(msgspec.structs.replace(rule, rule_id="")))
            if rule.remote_group_id and (remote := model.groups.get(rule.remote_group_id)):
                members |= {(rule.remote_group_id, member) for member in remote.member_ips}
            if rule.remote_address_group_id and (
                addresses := model.address_groups.get(rule.remote_address_group_id)
            ):
                members |= {(rule.remote_address_group_id, member) for member in addresses.addresses}
    return Permits(frozenset(rules), frozenset(members))


def revoked(before: Mapping[str, Permits], now: Mapping[str, Permits]) -> list[str]:
    """The devices that may do less than before: what they are doing has to be asked anew."""
    return [
        port_id
        for port_id, old in before.items()
        if (new := now.get(port_id)) is not None and (old.rules - new.rules or old.members - new.members)
    ]
