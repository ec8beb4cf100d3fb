"""A host's network as netplan's YAML. (netplan-yaml(5); bridges and bonds of Open vSwitch since 0.100.)"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pileus.drivers.interfaces.checks import of_version
from pileus.drivers.interfaces.spec import OWNER, OWNER_KEY, Addressed, Bond, Bridge, HostNetwork, Vlan

_LABEL = {"external-ids": {OWNER_KEY: OWNER}}
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9._/-]*")
_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}
"""Strings that YAML 1.1 would read as something else."""


def render(network: HostNetwork) -> str:
    """Write the document; it is for systemd-networkd, since NetworkManager knows no Open vSwitch here."""
    ethernets: dict[str, Any] = {card: {} for card in network.cards()}
    ethernets |= {one.name: _addressed(one) for one in network.interfaces}
    body: dict[str, Any] = {"version": 2, "renderer": "networkd"}
    if network.switches():
        body["openvswitch"] = {}
    inner = {vlan.name for vlan in network.inner_vlans()}
    sections = {
        "ethernets": ethernets,
        "bonds": {bond.name: _bond(bond) for bond in network.bonds},
        "vlans": {vlan.name: _vlan(vlan, vlan.name in inner) for vlan in network.vlans},
        "bridges": {bridge.name: _bridge(network, bridge) for bridge in network.bridges},
    }
    body |= {name: section for name, section in sections.items() if section}
    lines = _lines({"network": body}, 0)
    return "# Made by `pileus node network`.\n" + "\n".join(lines) + "\n"


def _bond(bond: Bond) -> dict[str, Any]:
    parameters: dict[str, Any] = {"mode": bond.mode}
    if bond.lacp != "off":
        parameters["lacp-rate"] = bond.lacp_time
    if bond.primary:
        parameters["primary"] = bond.primary
    if bond.up_delay_ms:
        parameters["up-delay"] = bond.up_delay_ms
    if bond.down_delay_ms:
        parameters["down-delay"] = bond.down_delay_ms
    found: dict[str, Any] = {"interfaces": list(bond.members), "parameters": parameters}
    if bond.mtu:
        found["mtu"] = bond.mtu
    return found | {"openvswitch": {"lacp": bond.lacp} | _LABEL}


def _bridge(network: HostNetwork, bridge: Bridge) -> dict[str, Any]:
    bonds = [bond.name for bond in network.bonds if bond.bridge == bridge.name]
    found: dict[str, Any] = {"interfaces": [*bridge.ports, *bonds]}
    if bridge.kind == "openvswitch":
        found["openvswitch"] = _LABEL
    else:
        found["parameters"] = {"stp": False, "forward-delay": 0}
    return found | _addressed(bridge)


def _vlan(vlan: Vlan, inner: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"id": vlan.vlan_id, "link": vlan.link}
    if inner:
        found["openvswitch"] = {}
    return found | _addressed(vlan)


def _addressed(one: Addressed) -> dict[str, Any]:
    found: dict[str, Any] = {"dhcp4": one.method == "dhcp", "dhcp6": one.method6 == "dhcp"}
    found["accept-ra"] = one.method6 in ("auto", "dhcp")
    if (one.method, one.method6) == ("manual", "manual"):
        found["link-local"] = []
    if addresses := [*of_version(one, 4), *of_version(one, 6)]:
        found["addresses"] = addresses
    gateways = (("0.0.0.0/0", one.gateway), ("::/0", one.gateway6))
    if routes := [{"to": to, "via": via} for to, via in gateways if via]:
        found["routes"] = routes
    if one.dns or one.search:
        found["nameservers"] = {"addresses": list(one.dns), "search": list(one.search)}
    if one.mtu:
        found["mtu"] = one.mtu
    return found


def _lines(value: Mapping[str, Any], depth: int) -> Iterator[str]:
    """YAML of nested maps; lists are written in one line."""
    indent = "  " * depth
    for key, one in value.items():
        if isinstance(one, dict) and one:
            yield f"{indent}{_scalar(key)}:"
            yield from _lines(one, depth + 1)
        else:
            yield f"{indent}{_scalar(key)}: {_flow(one)}"


def _flow(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(one)}" for key, one in value.items()) + "}"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value)
