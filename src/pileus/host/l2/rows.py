"""Plans the rows of the switch's database: bridges, joints, tunnels, tags and limits; as edits.

Local VLANs and device numbers are read back from the ports that bear them, so they are the
same after a restart. Only differences become edits: where nothing differs there are none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from pileus.core.addresses import NotAnAddress, parse_address
from pileus.drivers.netlink.links import Veth
from pileus.drivers.openflow.memos import MEMOS
from pileus.host.l2 import taps, trunks
from pileus.host.l2.guest_tags import RaiseVlanLimit, limit_edits
from pileus.host.l2.model import Model
from pileus.host.l2.numbers import allocate, stable_ids
from pileus.host.l2.settings import (
    DEAD_VLAN,
    LAST_NUMBER_KEY,
    NETWORK_KEY,
    NUMBER_KEY,
    OWNER,
    OWNER_KEY,
    SUBPORTS_KEY,
    BridgeSettings,
)
from pileus.host.l2.view import InterfaceView, PortView, SwitchView
from pileus.wire.switch import DeviceDetails, DeviceFailure

_LABEL = {OWNER_KEY: OWNER}
_LAST_VLAN = DEAD_VLAN - 1
_LAST_NUMBER = 0x7FFF
"""Connection-tracking zones are 16 bits wide; zone 0 is the host's own, and the upper half translations'."""


class EnsureBridge(msgspec.Struct, frozen=True):
    name: str
    columns: dict[str, Any]


class EnsurePort(msgspec.Struct, frozen=True):
    """A port of ours with its interface's columns."""

    bridge: str
    name: str
    interface: dict[str, Any]


class SetPort(msgspec.Struct, frozen=True):
    """Columns of a port, and of its interface; in maps, None takes a key away."""

    name: str
    columns: dict[str, Any]
    interface: dict[str, Any] = {}


class RemovePort(msgspec.Struct, frozen=True):
    name: str


class RemoveBridge(msgspec.Struct, frozen=True):
    name: str


RowEdit = EnsureBridge | EnsurePort | SetPort | RemovePort | RemoveBridge | RaiseVlanLimit


class RowPlan(msgspec.Struct, frozen=True):
    """``edits`` make and change, in one transaction, before the flows; ``removals`` come last.

    ``alive`` are the devices that the server vouches for, ``dead`` the plugged ones that it does not
    (or that are administratively down, or in quarantine), ``failed`` those that the switch could not open.
    """

    edits: tuple[RowEdit, ...]
    removals: tuple[RowEdit, ...]
    vlans: dict[str, int]
    numbers: dict[str, int]
    alive: dict[str, PortView]
    dead: tuple[PortView, ...]
    failed: tuple[DeviceFailure, ...]


def plugged(view: SwitchView, settings: BridgeSettings) -> tuple[dict[str, PortView], list[PortView]]:
    """Devices on br-int by port id, and second interfaces that claim an id already there.

    While a guest moves, two interfaces may bear its id; the one that works and has the first name counts.
    """
    found: dict[str, PortView] = {}
    doubles = []
    candidates = [
        port
        for port in view.ports.values()
        if port.bridge == settings.integration_bridge and "iface-id" in port.interface.external_ids
    ]
    for port in sorted(candidates, key=lambda port: ((port.interface.ofport or 0) <= 0, port.name)):
        port_id = port.interface.external_ids["iface-id"]
        if port_id in found:
            doubles.append(port)
        else:
            found[port_id] = port
    return found, doubles


def plan_rows(
    model: Model, view: SwitchView, settings: BridgeSettings, last_vlans: Mapping[str, int] | None = None
) -> RowPlan:
    """Compare; pure. ``last_vlans`` are those of the pass before: flows still bear them, so none is
    given to another network in this pass. Raises NumbersExhausted."""
    devices, doubles = plugged(view, settings)
    alive: dict[str, PortView] = {}
    dead = list(doubles)
    failed = []
    for port_id, port in devices.items():
        details = model.devices.get(port_id)
        if details is None or not _wanted_up(details, model):
            dead.append(port)
        elif (port.interface.ofport or 0) < 0:
            failed.append(
                DeviceFailure(port_id, port.interface.error or "the switch could not open the interface")
            )
        else:
            alive[port_id] = port
    alive |= trunks.carried(model, alive, _wanted_up)
    last = _last_number(view, settings)
    vlans, numbers = _numbers(model, view, alive, last, last_vlans or {})
    held = {port.external_ids.get(NUMBER_KEY) for port in alive.values()}
    held |= {str(one.number) for port in alive.values() for one in trunks.remembered(port).values()}
    newest = next((n for n in reversed(numbers.values()) if str(n) not in held), last)
    edits: list[RowEdit] = [
        *limit_edits(model, view),
        *_bridges(view, settings, newest),
        *_joints(view, settings),
        *_tunnels(model, view, settings),
        *_taps(model, view, settings),
        *_devices(model, alive, vlans, numbers),
        *_dead(dead),
    ]
    return RowPlan(
        edits=tuple(edits),
        removals=tuple(_removals(model, view, settings)),
        vlans=vlans,
        numbers=numbers,
        alive=alive,
        dead=tuple(dead),
        failed=tuple(failed),
    )


def _wanted_up(details: DeviceDetails, model: Model) -> bool:
    network = model.networks.get(details.network_id)
    if details.quarantined or not details.admin_state_up:
        return False
    return network is not None and network.admin_state_up


def _numbers(
    model: Model,
    view: SwitchView,
    alive: Mapping[str, PortView],
    last: int,
    last_vlans: Mapping[str, int],
) -> tuple[dict[str, int], dict[str, int]]:
    """Local VLANs by network and numbers by device: those written on the ports, then new ones."""
    vlans: dict[str, int] = {}
    numbers: dict[str, int] = {}
    used_vlans: set[int] = set(last_vlans.values())
    seen_vlans: set[int] = set()
    used_numbers: set[int] = set()
    for port in sorted(view.ports.values(), key=lambda port: port.name):
        network_id = port.external_ids.get(NETWORK_KEY)
        if port.tag is not None and port.tag != DEAD_VLAN:
            if network_id is not None and port.tag not in seen_vlans:
                vlans.setdefault(network_id, port.tag)
            seen_vlans.add(port.tag)
            used_vlans.add(port.tag)
        number = port.external_ids.get(NUMBER_KEY, "")
        port_id = port.interface.external_ids.get("iface-id")
        if number.isdigit() and 0 < int(number) <= _LAST_NUMBER and int(number) not in used_numbers:
            used_numbers.add(int(number))
            if port_id is not None and port_id in alive and alive[port_id].name == port.name:
                numbers[port_id] = int(number)
        for port_id, one in trunks.remembered(port).items():
            used_vlans.add(one.vlan)
            if one.vlan not in seen_vlans or vlans.get(one.network_id) == one.vlan:
                vlans.setdefault(one.network_id, one.vlan)
            seen_vlans.add(one.vlan)
            if 0 < one.number <= _LAST_NUMBER and one.number not in used_numbers:
                used_numbers.add(one.number)
                if port_id in alive and alive[port_id].name == port.name:
                    numbers[port_id] = one.number
    networks = dict.fromkeys(model.devices[port_id].network_id for port_id in sorted(alive))
    for network_id in sorted(model.routed() & model.networks.keys()):
        _hold(network_id, vlans, used_vlans, last_vlans)
        networks.setdefault(network_id)
    return (
        allocate(networks, vlans, used_vlans, _LAST_VLAN),
        allocate(sorted(alive), numbers, used_numbers, _LAST_NUMBER, after=last),
    )


def _hold(network_id: str, vlans: dict[str, int], used: set[int], last_vlans: Mapping[str, int]) -> None:
    """Choose the VLAN of a network that may have no port to write it on: as before, else by its name, so that
    a restart chooses the same."""
    if network_id in vlans:
        return
    number = last_vlans.get(network_id) or _hashed(network_id)
    if network_id in last_vlans or number not in used:
        vlans[network_id] = number
        used.add(number)


def _hashed(network_id: str) -> int:
    (number,) = stable_ids([network_id], _LAST_VLAN).values()
    return number


def _last_number(view: SwitchView, settings: BridgeSettings) -> int:
    bridge = view.bridges.get(settings.integration_bridge)
    text = bridge.external_ids.get(LAST_NUMBER_KEY, "") if bridge else ""
    return int(text) if text.isdigit() else 0


def _bridges(view: SwitchView, settings: BridgeSettings, last_number: int) -> Iterator[EnsureBridge]:
    ours = {"datapath_type": settings.datapath_type, "fail_mode": "secure", "external_ids": _LABEL}
    inner = ours | {"external_ids": _LABEL | {LAST_NUMBER_KEY: str(last_number)}}
    wanted: dict[str, dict[str, Any]] = {settings.integration_bridge: inner}
    # Somebody else's bridge is used as it is; only one that is not there is made, and labelled.
    for _, bridge in settings.bridge_mappings:
        made_by_us = bridge not in view.bridges
        wanted[bridge] = {"datapath_type": settings.datapath_type} | (
            {"external_ids": _LABEL} if made_by_us else {}
        )
    if settings.tunnelling:
        wanted[settings.tunnel_bridge] = ours
    for name, columns in wanted.items():
        present = view.bridges.get(name)
        if present is None or not _same(present, columns):
            yield EnsureBridge(name, columns)


def _same(present: Any, columns: Mapping[str, Any]) -> bool:
    for column, wanted in columns.items():
        value = getattr(present, column)
        if isinstance(wanted, dict):
            if any(value.get(key) != one for key, one in wanted.items()):
                return False
        elif value != wanted and not (column == "datapath_type" and {value, wanted} == {"", "system"}):
            return False
    return True


def _ensure(view: SwitchView, bridge: str, name: str, interface: dict[str, Any]) -> Iterator[EnsurePort]:
    present = view.ports.get(name)
    if (
        present is None
        or present.bridge != bridge
        or present.external_ids.get(OWNER_KEY) != OWNER
        or not _same(present.interface, interface)
    ):
        yield EnsurePort(bridge, name, interface)


def _patch(view: SwitchView, bridge: str, name: str, peer: str) -> Iterator[EnsurePort]:
    yield from _ensure(view, bridge, name, {"type": "patch", "options": {"peer": peer}})


def veth_joints(settings: BridgeSettings) -> list[Veth]:
    """The veth pairs that join br-int to physical bridges, where those are asked for."""
    if settings.link != "veth":
        return []
    return [
        Veth(settings.int_port(bridge), settings.phy_port(bridge), label=f"pileus-{OWNER}")
        for _, bridge in settings.bridge_mappings
    ]


def _joints(view: SwitchView, settings: BridgeSettings) -> Iterator[EnsurePort]:
    inner_bridge = settings.integration_bridge
    for _, bridge in settings.bridge_mappings:
        inner, outer = settings.int_port(bridge), settings.phy_port(bridge)
        if settings.link == "veth":
            yield from _ensure(view, inner_bridge, inner, {"type": ""})
            yield from _ensure(view, bridge, outer, {"type": ""})
        else:
            yield from _patch(view, inner_bridge, inner, outer)
            yield from _patch(view, bridge, outer, inner)
    if settings.tunnelling:
        yield from _patch(view, inner_bridge, settings.patch_tun, settings.patch_int)
        yield from _patch(view, settings.tunnel_bridge, settings.patch_int, settings.patch_tun)


def wanted_tunnels(model: Model, settings: BridgeSettings) -> dict[tuple[str, str], str]:
    """(type, endpoint) to port name: a tunnel of each type that both ends know, to each other node.

    None to a loopback address from one that is none: its frames would come back as another node's.
    """
    if not settings.tunnelling:
        return {}
    alone = _is_loopback(settings.tunneling_ip)
    return {
        (tunnel_type, endpoint.tunneling_ip): settings.tunnel_port(tunnel_type, endpoint.tunneling_ip)
        for endpoint in model.tunnels
        if endpoint.tunneling_ip and endpoint.tunneling_ip != settings.tunneling_ip
        if alone or not _is_loopback(endpoint.tunneling_ip)
        for tunnel_type in settings.tunnel_types
        if tunnel_type in endpoint.tunnel_types
    }


@MEMOS.remember(1 << 12)
def _is_loopback(address: str) -> bool:
    try:
        return parse_address(address).is_loopback
    except NotAnAddress:
        return False


def _tunnels(model: Model, view: SwitchView, settings: BridgeSettings) -> Iterator[EnsurePort]:
    for (tunnel_type, remote_ip), name in wanted_tunnels(model, settings).items():
        options = {
            "local_ip": settings.tunneling_ip,
            "remote_ip": remote_ip,
            "in_key": "flow",
            "out_key": "flow",
            "df_default": "true",
        }
        if tunnel_type == "vxlan" and settings.vxlan_port != 4789:
            options["dst_port"] = str(settings.vxlan_port)
        yield from _ensure(view, settings.tunnel_bridge, name, {"type": tunnel_type, "options": options})


def _taps(model: Model, view: SwitchView, settings: BridgeSettings) -> Iterator[EnsurePort]:
    for name, interface in taps.wanted_ports(model, settings).items():
        yield from _ensure(view, settings.integration_bridge, name, interface)


def _devices(
    model: Model, alive: Mapping[str, PortView], vlans: Mapping[str, int], numbers: Mapping[str, int]
) -> Iterator[SetPort]:
    subports: dict[str, list[tuple[str, trunks.Remembered]]] = {}
    for port_id, port in alive.items():
        if not is_own(port_id, port):
            network_id = model.devices[port_id].network_id
            one = trunks.Remembered(network_id, vlans[network_id], numbers[port_id])
            subports.setdefault(port.name, []).append((port_id, one))
    for port_id, port in alive.items():
        if not is_own(port_id, port):
            continue
        details = model.devices[port_id]
        labels = {
            NETWORK_KEY: details.network_id,
            NUMBER_KEY: str(numbers[port_id]),
            SUBPORTS_KEY: trunks.written(subports.get(port.name, ())),
        }
        columns: dict[str, Any] = {}
        if port.tag != vlans[details.network_id]:
            columns["tag"] = vlans[details.network_id]
        if any(port.external_ids.get(key) != value for key, value in labels.items()):
            columns["external_ids"] = labels
        interface = _interface_columns(details, port.interface)
        if columns or interface:
            yield SetPort(port.name, columns, interface)


def is_own(port_id: str, port: PortView) -> bool:
    """Whether the interface is the device's own; a subport's is its parent's."""
    return port.interface.external_ids.get("iface-id") == port_id


def _interface_columns(details: DeviceDetails, present: InterfaceView) -> dict[str, Any]:
    """Columns that differ from seed 004's listing: its external_ids, and the policer's two numbers."""
    ids = {"iface-status": "active", "attached-mac": details.mac_address}
    if details.device_id and details.device_owner.startswith("compute:"):
        ids["vm-uuid"] = details.device_id
    limit = details.rate_limit
    wanted = {
        "ingress_policing_rate": (present.rate_kbps, limit.rate_kbps if limit else 0),
        "ingress_policing_burst": (present.burst_kb, limit.burst_kb if limit else 0),
    }
    columns: dict[str, Any] = {name: new for name, (old, new) in wanted.items() if old != new}
    if any(present.external_ids.get(key) != value for key, value in ids.items()):
        columns["external_ids"] = ids
    if present.tx_steering != details.tx_steering:
        columns["other_config"] = {"tx-steering": details.tx_steering}
    return columns


def _dead(ports: list[PortView]) -> Iterator[SetPort]:
    for port in ports:
        columns: dict[str, Any] = {}
        if port.tag != DEAD_VLAN:
            columns["tag"] = DEAD_VLAN
        if NETWORK_KEY in port.external_ids or NUMBER_KEY in port.external_ids:
            columns["external_ids"] = {NETWORK_KEY: None, NUMBER_KEY: None, SUBPORTS_KEY: None}
        if columns:
            yield SetPort(port.name, columns)


def _removals(model: Model, view: SwitchView, settings: BridgeSettings) -> Iterator[RowEdit]:
    wanted = {*wanted_tunnels(model, settings).values(), *taps.wanted_ports(model, settings)}
    bridges = {settings.integration_bridge}
    for _, bridge in settings.bridge_mappings:
        bridges.add(bridge)
        wanted |= {settings.int_port(bridge), settings.phy_port(bridge)}
    if settings.tunnelling:
        bridges.add(settings.tunnel_bridge)
        wanted |= {settings.patch_tun, settings.patch_int}
    stale = {
        name
        for name, bridge in view.bridges.items()
        if bridge.external_ids.get(OWNER_KEY) == OWNER and name not in bridges
    }
    for port in view.ports.values():
        if port.external_ids.get(OWNER_KEY) == OWNER and port.name not in wanted and port.bridge not in stale:
            yield RemovePort(port.name)
    for name in sorted(stale):
        yield RemoveBridge(name)


def purge_rows(view: SwitchView, settings: BridgeSettings, guests: bool) -> tuple[RowEdit, ...]:
    """Take away all that is ours. With ``guests`` the devices' ports, too, and br-int with them;
    without, they stay on it as they were plugged."""
    edits: list[RowEdit] = []
    kept = set() if guests else {settings.integration_bridge}
    gone = {
        name
        for name, bridge in view.bridges.items()
        if bridge.external_ids.get(OWNER_KEY) == OWNER and name not in kept
    }
    for port in view.ports.values():
        if port.bridge in gone:
            continue
        is_device = "iface-id" in port.interface.external_ids
        if port.external_ids.get(OWNER_KEY) == OWNER or (guests and is_device and _is_inner(port, settings)):
            edits.append(RemovePort(port.name))
        elif is_device and _is_inner(port, settings):
            edits.append(_released(port))
    edits += [RemoveBridge(name) for name in sorted(gone)]
    if settings.integration_bridge in view.bridges and settings.integration_bridge not in gone:
        edits.append(
            EnsureBridge(
                settings.integration_bridge, {"external_ids": {OWNER_KEY: None, LAST_NUMBER_KEY: None}}
            )
        )
    return tuple(edits)


def _is_inner(port: PortView, settings: BridgeSettings) -> bool:
    return port.bridge == settings.integration_bridge


def _released(port: PortView) -> SetPort:
    return SetPort(
        port.name,
        {"tag": None, "external_ids": {NETWORK_KEY: None, NUMBER_KEY: None, SUBPORTS_KEY: None}},
        {"ingress_policing_rate": 0, "ingress_policing_burst": 0},
    )
