"""Taps and tap mirrors: copies of what a device sends and gets, by flows of the integration bridge. Pure.

What a device sends is copied as it comes in, whatever becomes of it; what it gets is copied as it goes out
to it, after its security groups. A copy goes straight to its receiver: to a port of this switch, through a
tunnel of the taps' own to the host where that port is, or into the tunnel of a mirror. It passes no rules
there and is never copied again::

    CLASSIFY ─► TAP_OUT ─► copies            (then on as ever)
    OUTPUT_TABLE ─► TAP_IN ─► copies         (then to the device)
    a tunnel of taps ─► CLASSIFY ─► the receiver

A mirror's tunnel must not end where nodes take in their own: its frames could come into another network.
"""

from __future__ import annotations

import hashlib
import ipaddress
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from pileus.core.addresses import NotAnAddress, parse_address
from pileus.drivers.openflow.flow import Flow
from pileus.host.l2 import tables as t
from pileus.host.l2.copies import Copies, Copy, Ranges
from pileus.host.l2.devices import Wired
from pileus.host.l2.match import port_masks
from pileus.host.l2.model import Model
from pileus.host.l2.settings import BridgeSettings
from pileus.wire.switch import DeviceDetails
from pileus.wire.taps import Tap, TapMirror, TapService

LAST_VLAN = 4095
_TYPES = {"gre": "gre", "erspanv1": "erspan"}
_IN, _OUT = frozenset(("IN", "BOTH")), frozenset(("OUT", "BOTH"))
_PRIORITY, _FILTERED, _BACK = 50, 60, 5


def ranges(vlan_filter: str) -> Ranges:
    """The ranges of ``9,18,27-36``."""
    found = []
    for part in vlan_filter.split(",") if vlan_filter else ():
        first, _, last = part.partition("-")
        found.append((int(first), min(int(last or first), LAST_VLAN)))
    return tuple(found)


# -- rows


def wanted_ports(model: Model, settings: BridgeSettings) -> dict[str, dict[str, Any]]:
    """Ports of the integration bridge by name, with their interface's columns: tunnels to hosts that copies
    go to or come from, and those of mirrors."""
    found = {}
    for device in model.devices.values():
        if device.taps is None:
            continue
        for host in _hosts(device):
            if (endpoint := _endpoint(model, settings, host)) is not None:
                found[settings.tap_port(endpoint)] = _tunnel(settings, endpoint)
        for mirror in device.taps.mirrors:
            if is_outside(mirror, model, settings):
                for key in _keys(mirror):
                    found[mirror_port(mirror, key)] = _mirror(mirror, key, settings)
    return found


def _hosts(device: DeviceDetails) -> Iterator[str]:
    assert device.taps is not None
    for tap in device.taps.taps:
        if tap.target_host is not None:
            yield tap.target_host
    for service in device.taps.services:
        yield from service.hosts


def _endpoint(model: Model, settings: BridgeSettings, host: str) -> str | None:
    """Another host's end of tunnels; None: it has none, or it is this host, or this one has none."""
    if not settings.tunnelling or host == settings.host:
        return None
    for endpoint in model.tunnels:
        if endpoint.host == host and endpoint.tunneling_ip not in ("", settings.tunneling_ip):
            return endpoint.tunneling_ip
    return None


def _tunnel(settings: BridgeSettings, remote_ip: str) -> dict[str, Any]:
    options = {
        "local_ip": settings.tunneling_ip,
        "remote_ip": remote_ip,
        "in_key": "flow",
        "out_key": "flow",
        "dst_port": str(settings.tap_vxlan_port),
        "df_default": "false",
    }
    return {"type": "vxlan", "options": options}


def _mirror(mirror: TapMirror, key: int, settings: BridgeSettings) -> dict[str, Any]:
    options = {"remote_ip": mirror.remote_ip, "key": str(key), "df_default": "false"}
    ours = _address(settings.tunneling_ip)
    theirs = _address(mirror.remote_ip)
    if ours is not None and theirs is not None and not ours.is_loopback and ours.version == theirs.version:
        options["local_ip"] = settings.tunneling_ip
    if mirror.mirror_type == "erspanv1":
        options |= {"erspan_ver": "1", "erspan_idx": "0"}
    return {"type": _TYPES[mirror.mirror_type], "options": options}


def mirror_port(mirror: TapMirror, key: int) -> str:
    """The name of the port of a mirror's tunnel: mirrors into one tunnel share it."""
    tunnel = f"{mirror.mirror_type} {mirror.remote_ip} {key}"
    return f"mir-{hashlib.blake2b(tunnel.encode(), digest_size=5).hexdigest()}"


def _keys(mirror: TapMirror) -> set[int]:
    return {key for key in (mirror.in_key, mirror.out_key, mirror.both_key) if key is not None}


def is_outside(mirror: TapMirror, model: Model, settings: BridgeSettings) -> bool:
    """Whether its tunnel is of a known kind and leads to a host that is no node of the cloud."""
    address = _address(mirror.remote_ip)
    if mirror.mirror_type not in _TYPES or address is None:
        return False
    if address.is_multicast or address.is_unspecified or address.is_loopback:
        return False
    nodes = {_address(one.tunneling_ip) for one in model.tunnels} | {_address(settings.tunneling_ip)}
    return address not in nodes


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return parse_address(text) if text else None
    except NotAnAddress:
        return None


# -- who gets copies of what


def copied(
    model: Model, devices: Mapping[str, Wired], ofports: Mapping[str, int], settings: BridgeSettings
) -> tuple[dict[str, Copies], frozenset[str]]:
    """The copies of each wired device, and the taps that are in force by these. ``ofports``: OpenFlow ports
    by the names of ``wanted_ports``."""
    tapped = {key: one for key, one in devices.items() if one.details.taps is not None}
    if not tapped:
        return {}, frozenset()
    sent: dict[str, list[Copy]] = {}
    got: dict[str, list[Copy]] = {}
    received: dict[str, tuple[tuple[int, int], ...]] = {}
    in_force = set()
    children: dict[str, list[Wired]] = {}
    for one in devices.values():
        if one.details.parent_id is not None:
            children.setdefault(one.details.parent_id, []).append(one)
    for key, one in tapped.items():
        assert one.details.taps is not None
        for tap in one.details.taps.taps:
            copy = _receiver(tap, model, devices, ofports, settings)
            if copy is None:
                continue
            in_force.add(tap.tap_id)
            for device, view in _views(one, copy, children.get(key, ())):
                if tap.direction in _OUT:
                    sent.setdefault(device, []).append(view)
                if tap.direction in _IN:
                    got.setdefault(device, []).append(view)
        for mirror in one.details.taps.mirrors:
            if is_outside(mirror, model, settings):
                sent.setdefault(key, []).extend(_mirrored(mirror, mirror.out_key, ofports))
                got.setdefault(key, []).extend(_mirrored(mirror, mirror.in_key, ofports))
        services = one.details.taps.services
        in_force |= {service.tap_id for service in services}
        received[key] = tuple(sorted(_received(services, model, ofports, settings)))
    everyone = [key for key in devices if sent.get(key) or got.get(key) or received.get(key)]
    copies = {
        key: Copies(_once(sent.get(key, ())), _once(got.get(key, ())), received.get(key, ()))
        for key in everyone
    }
    return copies, frozenset(in_force)


def _mirrored(mirror: TapMirror, key: int | None, ofports: Mapping[str, int]) -> Iterator[Copy]:
    for number in dict.fromkeys(one for one in (key, mirror.both_key) if one is not None):
        if (ofport := ofports.get(mirror_port(mirror, number))) is not None:
            yield Copy(ofport)


def _received(
    services: Iterable[TapService], model: Model, ofports: Mapping[str, int], settings: BridgeSettings
) -> Iterator[tuple[int, int]]:
    for service in services:
        for host in service.hosts:
            endpoint = _endpoint(model, settings, host)
            ofport = ofports.get(settings.tap_port(endpoint)) if endpoint is not None else None
            if ofport is not None:
                yield ofport, service.number


def _once(copies: Iterable[Copy]) -> tuple[Copy, ...]:
    return tuple(dict.fromkeys(copies))


def _receiver(
    tap: Tap,
    model: Model,
    devices: Mapping[str, Wired],
    ofports: Mapping[str, int],
    settings: BridgeSettings,
) -> Copy | None:
    vlans = ranges(tap.vlan_filter)
    if (here := devices.get(tap.target_port)) is not None:
        return Copy(here.ofport, tag=here.tag, vlans=vlans, is_device=True)
    if tap.target_host is None or (endpoint := _endpoint(model, settings, tap.target_host)) is None:
        return None
    ofport = ofports.get(settings.tap_port(endpoint))
    return None if ofport is None else Copy(ofport, number=tap.number, vlans=vlans)


def _views(source: Wired, copy: Copy, children: Iterable[Wired]) -> Iterator[tuple[str, Copy]]:
    """The devices whose packets a copy is made of: the source itself, and with a filter also the subports of
    its trunk, whose frames wear their tags on its interface."""
    yield source.details.port_id, copy
    for child in children if copy.vlans else ():
        if any(first <= child.tag <= last for first, last in copy.vlans):
            yield child.details.port_id, msgspec.structs.replace(copy, vlans=(), wrapped=child.tag)


# -- flows


def tap_flows(wired: Wired, copies: Copies) -> list[Flow]:
    """All flows of a device's copies, and of those that it receives."""
    return [Flow(*parts, t.DEVICE_COOKIE) for parts in _parts(wired, copies)]


def _parts(wired: Wired, copies: Copies) -> Iterator[tuple[int, int, str, str]]:
    own = f"{t.NUMBER}=0x{wired.number:x}"
    yield from _to_receivers(t.TAP_OUT, own, copies.sent, 0)
    yield from _to_receivers(t.TAP_IN, own, copies.got, wired.tag)
    here = ",".join(_delivered(Copy(wired.ofport, tag=wired.tag)))
    for ofport, number in copies.received:
        yield t.CLASSIFY, 95, f"in_port={ofport},tun_id=0x{number:x}", here


def _to_receivers(
    table: int, own: str, copies: Sequence[Copy], worn: int
) -> Iterator[tuple[int, int, str, str]]:
    """``worn``: the tag that the frame wears in this table although its guest's network has none."""
    for match, priority, some in _by_vlan(copies):
        # What comes from the receiver itself goes back by the name of the port alone (ovs-actions(7)).
        for port in {None, *(copy.ofport for copy in some if copy.is_device)}:
            steps = [step for copy in some for step in _steps(copy, worn, port)]
            if any(copy.number for copy in some):
                steps.append("set_field:0->tun_id")
            back = "" if port is None else f",in_port={port}"
            yield table, priority + (0 if port is None else _BACK), f"{own}{match}{back}", ",".join(steps)


def _by_vlan(copies: Sequence[Copy]) -> Iterator[tuple[str, int, list[Copy]]]:
    """Disjoint sets of frames by their tags, each with the copies that it is for."""
    if unfiltered := [copy for copy in copies if not copy.vlans]:
        yield "", _PRIORITY, unfiltered
    cuts = {cut for copy in copies for first, last in copy.vlans for cut in (first, last + 1)}
    if not cuts:
        return
    # VLAN 0 stands for frames without a tag, so it is a set of its own.
    bounds = sorted(cuts | {0, 1, LAST_VLAN + 1})
    for first, end in itertools.pairwise(bounds):
        some = [
            copy for copy in copies if not copy.vlans or any(low <= first <= high for low, high in copy.vlans)
        ]
        if len(some) > len(unfiltered):
            for match in _vlan_masks(first, end - 1):
                yield f",{match}", _FILTERED, some


def _vlan_masks(first: int, last: int) -> Iterator[str]:
    if first == 0:
        yield "vlan_tci=0x0000/0x1fff"
        return
    for text in port_masks(first, last):
        value, _, mask = text.partition("/")
        bits = int(mask, 16) & 0xFFF if mask else 0xFFF
        yield f"vlan_tci=0x{int(value, 0) | 0x1000:x}/0x{bits | 0x1000:x}"


def _steps(copy: Copy, worn: int, in_port: int | None) -> list[str]:
    steps = _delivered(copy, in_port)
    if worn and not copy.wrapped:
        return ["pop_vlan", *steps, *_push(worn)]
    if copy.wrapped and not worn:
        return [*_push(copy.wrapped), *steps, "pop_vlan"]
    return steps


def _delivered(copy: Copy, in_port: int | None = None) -> list[str]:
    output = "IN_PORT" if copy.is_device and copy.ofport == in_port else f"output:{copy.ofport}"
    if copy.number:
        return [f"set_field:0x{copy.number:x}->tun_id", output]
    return [*_push(copy.tag), output, "pop_vlan"] if copy.tag else [output]


def _push(tag: int) -> list[str]:
    return ["push_vlan:0x8100", f"set_field:{0x1000 + tag}->vlan_vid"]


def states(
    devices: Collection[DeviceDetails], in_force: Collection[str]
) -> Iterator[tuple[Tap | TapService, str]]:
    """The taps and tap services of devices, each with ``ACTIVE`` or ``DOWN``."""
    for device in devices:
        if device.taps is not None:
            ours: tuple[Tap | TapService, ...] = (*device.taps.taps, *device.taps.services)
            for one in ours:
                yield one, "ACTIVE" if one.tap_id in in_force else "DOWN"
