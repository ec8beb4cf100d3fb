"""Which records a switch can be made of: what can't be expressed is left out before anything is planned.

The server checks what users give it; the node does not rely on that, since one device that could not be
planned would keep all others of the node waiting. A device that is refused is treated as one that nobody
vouches for, and the server is told why. Of two records that claim the same (a MAC address or address
of a network, a segment) the one that has it already keeps it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from pileus.core import log
from pileus.core.addresses import NotAnAddress, address_or_prefix, canonical
from pileus.drivers.openflow.memos import MEMOS
from pileus.host.l2.devices import is_multicast
from pileus.host.l2.match import protocol_number
from pileus.host.l2.model import Model
from pileus.host.l2.trunks import LAST_TAG, second_tags
from pileus.wire.switch import (
    AddressGroupDetails,
    DeviceDetails,
    ForwardingEntry,
    NetworkDetails,
    RemoteAddress,
    SecurityGroupDetails,
    SecurityRule,
    TunnelEndpoint,
)

_log = log.get("host.l2")

R = TypeVar("R", bound=msgspec.Struct)
V = TypeVar("V")

_MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")
_ID = re.compile(r"[\w.-]{1,255}", re.ASCII)
_RATE_LIMIT = (1 << 32) - 1
_LAST_SEGMENT = {"vlan": 4094, "vxlan": (1 << 24) - 1, "gre": (1 << 32) - 1, "geneve": (1 << 24) - 1}
_CARRIED = frozenset(("flat", *_LAST_SEGMENT))
_LAST_PORT, _LAST_ICMP = 65535, 255
_ICMP = (1, 58)


class Vetted(msgspec.Struct, frozen=True):
    """``model`` is what can be planned; ``refused``: port id to why it is not among it; ``left_out`` counts
    rules, members and entries of others that are not."""

    model: Model
    refused: dict[str, str] = {}
    left_out: int = 0


class _Examined(Generic[R, V]):
    """Records of one kind with what was said of each; only those that changed are looked at."""

    def __init__(self, examine: Callable[[R], V]) -> None:
        self._examine = examine
        self._known: dict[str, tuple[R, V]] = {}

    def take(self, records: Mapping[str, R]) -> bool:
        """These are all records now; whether any of them is new or another one than before."""
        known = self._known
        if len(known) == len(records) and all(
            (before := known.get(key)) is not None and before[0] is record for key, record in records.items()
        ):
            return False
        self._known = {
            key: before
            if (before := known.get(key)) is not None and (before[0] is record or before[0] == record)
            else (record, self._examine(record))
            for key, record in records.items()
        }
        return True

    def verdicts(self) -> Iterator[tuple[str, V]]:
        for key, (_, verdict) in self._known.items():
            yield key, verdict


class Vetting:
    """Remembers what it said of each record, so that only what changed is looked at."""

    def __init__(self) -> None:
        self._devices = _Examined(device_fault)
        self._networks = _Examined(_network)
        self._groups = _Examined(_group)
        self._address_groups = _Examined(_address_group)
        self._refused: dict[str, str] = {}
        self._left_out: dict[str, int] = {}
        self._last: tuple[Model, Vetted] | None = None

    def vet(self, model: Model, wired: Collection[str] = ()) -> Vetted:
        """Split a model; pure but for what is remembered. ``wired`` devices were there before."""
        if self._last is None or self._last[0] is not model:
            self._last = model, self._vet(model, wired)
        return self._last[1]

    def _vet(self, model: Model, wired: Collection[str]) -> Vetted:
        devices_changed, networks_changed = (
            self._devices.take(model.devices),
            self._networks.take(model.networks),
        )
        if devices_changed or networks_changed:
            self._refused = self._refusals(model, wired)
        if networks_changed:
            self._left_out["networks"] = sum(count for _, (_, _, count) in self._networks.verdicts())
        if self._groups.take(model.groups):
            self._left_out["groups"] = sum(count for _, (_, count) in self._groups.verdicts())
        if self._address_groups.take(model.address_groups):
            self._left_out["address groups"] = sum(count for _, (_, count) in self._address_groups.verdicts())
        tunnels = tuple(_endpoints(model.tunnels))
        left_out = sum(self._left_out.values())
        refused = self._refused
        if not refused and not left_out and len(tunnels) == len(model.tunnels):
            return Vetted(model)
        return Vetted(
            msgspec.structs.replace(
                model,
                devices={key: one for key, one in model.devices.items() if key not in refused},
                networks={key: clean for key, (_, clean, _) in self._networks.verdicts()},
                groups={key: clean for key, (clean, _) in self._groups.verdicts()},
                address_groups={key: clean for key, (clean, _) in self._address_groups.verdicts()},
                tunnels=tunnels,
            ),
            refused,
            left_out + len(model.tunnels) - len(tunnels),
        )

    def _refusals(self, model: Model, wired: Collection[str]) -> dict[str, str]:
        refused = {key: fault for key, fault in self._devices.verdicts() if fault is not None}
        order = sorted(model.devices, key=lambda key: (key not in wired, key))
        candidates = [model.devices[key] for key in order if key not in refused]
        bad_networks = {key: fault for key, (fault, _, _) in self._networks.verdicts() if fault is not None}
        bad_networks |= _second_segments(candidates, model.networks, bad_networks)
        if bad_networks:
            refused |= {
                one.port_id: bad_networks[one.network_id]
                for one in candidates
                if one.network_id in bad_networks
            }
        refused |= dict(second_tags(one for one in candidates if one.port_id not in refused))
        return refused | _second_claims(one for one in candidates if one.port_id not in refused)


def device_fault(device: DeviceDetails) -> str | None:
    """Why a device can't be wired as it is described; None if it can."""
    if not _ID.fullmatch(device.port_id) or not _ID.fullmatch(device.network_id):
        return f"{device.port_id!r} on {device.network_id!r} is no port of a network"
    if not _is_mac(device.mac_address) or is_multicast(device.mac_address):
        return f"{device.mac_address!r} is no MAC address of an interface"
    for fixed in device.fixed_ips:
        if _normal(fixed.ip_address) is None:
            return f"{fixed.ip_address!r} is no IP address"
    for pair in device.allowed_address_pairs:
        if not _is_address_or_prefix(pair.ip_address):
            return f"{pair.ip_address!r} is no IP address or prefix"
        if pair.mac_address and not _is_mac(pair.mac_address):
            return f"{pair.mac_address!r} is no MAC address"
    for group_id in device.security_group_ids:
        if not _ID.fullmatch(group_id):
            return f"{group_id!r} is no security group's id"
    for text in (device.device_id, device.device_owner):
        if text and not text.isprintable():
            return f"{text!r} has characters that can't be printed"
    if device.parent_id is not None and not 1 <= device.vlan_id <= LAST_TAG:
        return f"{device.vlan_id} is no tag of a subport"
    for limit in (device.rate_limit, device.qos.ingress if device.qos else None):
        if limit is not None and not (
            0 <= limit.rate_kbps <= _RATE_LIMIT and 0 <= limit.burst_kb <= _RATE_LIMIT
        ):
            return f"{limit.rate_kbps} kbit/s with bursts of {limit.burst_kb} kbit is no rate limit"
    return None


def _network(network: NetworkDetails) -> tuple[str | None, NetworkDetails, int]:
    """Why it can't be carried, the network without entries that can't be written, and how many those are."""
    segment = network.segment
    number = segment.segmentation_id
    last = _LAST_SEGMENT.get(segment.network_type)
    fault = None
    if not _ID.fullmatch(network.network_id):
        fault = f"{network.network_id!r} is no network's id"
    elif number is not None and not 1 <= number <= (last if last is not None else _LAST_PORT):
        fault = f"there is no {segment.network_type} segment {number}"
    entries = tuple(entry for entry in network.forwarding if _is_entry(entry))
    remote = tuple(filter(_is_entry, network.remote))
    left_out = len(network.forwarding) - len(entries) + len(network.remote) - len(remote)
    if not left_out:
        return fault, network, 0
    _log.warning("entries of remote ports are left out", network=network.network_id, entries=left_out)
    return fault, msgspec.structs.replace(network, forwarding=entries, remote=remote), left_out


def _group(group: SecurityGroupDetails) -> tuple[SecurityGroupDetails, int]:
    """The group without rules and members that can't be written, and how many those are."""
    rules = []
    for rule in group.rules:
        if (fault := rule_fault(rule)) is None:
            rules.append(rule)
        else:
            _log.warning("a security rule is left out and permits nothing", rule=rule.rule_id, why=fault)
    members = tuple(member for member in group.member_ips if _is_address_or_prefix(member))
    left_out = len(group.rules) - len(rules) + len(group.member_ips) - len(members)
    if not left_out:
        return group, 0
    if len(members) < len(group.member_ips):
        count = len(group.member_ips) - len(members)
        _log.warning("members are left out", security_group=group.security_group_id, members=count)
    return msgspec.structs.replace(group, rules=tuple(rules), member_ips=members), left_out


def _address_group(group: AddressGroupDetails) -> tuple[AddressGroupDetails, int]:
    addresses = tuple(address for address in group.addresses if _is_address_or_prefix(address))
    left_out = len(group.addresses) - len(addresses)
    if left_out:
        _log.warning("addresses are left out", address_group=group.address_group_id, addresses=left_out)
    return msgspec.structs.replace(group, addresses=addresses), left_out


def rule_fault(rule: SecurityRule) -> str | None:
    """Why a rule can't be a rule; None if it can."""
    if rule.direction not in ("ingress", "egress") or rule.ethertype not in ("IPv4", "IPv6"):
        return f"{rule.direction!r} and {rule.ethertype!r} are no direction and family"
    last = _LAST_PORT
    if rule.protocol is not None and rule.protocol != "any":
        try:
            last = _LAST_ICMP if protocol_number(rule.protocol) in _ICMP else _LAST_PORT
        except ValueError as error:
            return str(error)
    for number in (rule.port_range_min, rule.port_range_max):
        if number is not None and not 0 <= number <= last:
            return f"{number} is no port, type or code of {rule.protocol}"
    if rule.remote_ip_prefix is not None and not _is_address_or_prefix(rule.remote_ip_prefix):
        return f"{rule.remote_ip_prefix!r} is no prefix"
    for other in (rule.remote_group_id, rule.remote_address_group_id):
        if other and not _ID.fullmatch(other):
            return f"{other!r} is no group's id"
    return None


def _second_segments(
    devices: Iterable[DeviceDetails], networks: Mapping[str, NetworkDetails], bad: Collection[str]
) -> dict[str, str]:
    """Networks whose segment another one, with a device before theirs, is carried by."""
    taken: dict[Any, str] = {}
    found = {}
    for network_id in dict.fromkeys(device.network_id for device in devices):
        network = networks.get(network_id)
        if network is None or network_id in bad or network.segment.network_type not in _CARRIED:
            continue
        segment = network.segment
        if taken.setdefault(segment, network_id) != network_id:
            number = segment.segmentation_id
            found[network_id] = f"its {segment.network_type} segment {number} is that of {taken[segment]}"
    return found


def _second_claims(devices: Iterable[DeviceDetails]) -> dict[str, str]:
    """Devices whose MAC address or address another one of their network has."""
    taken: dict[tuple[str, str], str] = {}
    found = {}
    for device in devices:
        claims = [device.mac_address.lower(), *(_normal(one.ip_address) or "" for one in device.fixed_ips)]
        for claim in dict.fromkeys(claims):
            holder = taken.get((device.network_id, claim))
            if holder is not None:
                found[device.port_id] = f"{claim} is that of port {holder}"
                break
        else:
            taken |= {(device.network_id, claim): device.port_id for claim in claims}
    return found


def _endpoints(endpoints: Iterable[TunnelEndpoint]) -> Iterator[TunnelEndpoint]:
    for endpoint in endpoints:
        if not endpoint.tunneling_ip or _normal(endpoint.tunneling_ip):
            yield endpoint
        else:
            _log.warning("an endpoint is left out", host=endpoint.host, address=endpoint.tunneling_ip)


@MEMOS.remember(1 << 16)
def _is_entry(entry: ForwardingEntry | RemoteAddress) -> bool:
    return _is_mac(entry.mac_address) and all(map(_is_address_or_prefix, entry.ip_addresses))


@MEMOS.remember(1 << 15)
def _is_mac(text: str) -> bool:
    return _MAC.fullmatch(text) is not None


@MEMOS.remember(1 << 15)
def _normal(text: str) -> str | None:
    return canonical(text)


@MEMOS.remember(1 << 15)
def _is_address_or_prefix(text: str) -> bool:
    try:
        address_or_prefix(text)
    except NotAnAddress:
        return False
    return True
