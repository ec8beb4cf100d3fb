"""Security groups and their rules in the form of the Compute API: what is shown, and what a new rule is.

Source: Compute API reference, "Security groups (os-security-groups) (DEPRECATED)". Error texts are Nova's.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

EVERYWHERE = {"IPv4": "0.0.0.0/0", "IPv6": "::/0"}
LARGEST_PORT = 65535
_PROTOCOLS = ("tcp", "udp", "icmp")


class BadRule(ValueError):
    """A new rule that can't be; its text says why."""


def peers_of(groups: Iterable[Mapping[str, Any]]) -> set[str]:
    """The groups that the rules of these let in, by id."""
    return {
        rule["remote_group_id"]
        for group in groups
        for rule in group["security_group_rules"]
        if rule["direction"] == "ingress" and rule["remote_group_id"]
    }


def peer_of(group: Mapping[str, Any]) -> dict[str, str]:
    """A group as a rule names it."""
    return {"name": group["name"], "tenant_id": group["project_id"]}


def group_view(group: Mapping[str, Any], peers: Mapping[str, dict[str, str]]) -> dict[str, Any]:
    """A group of the network service with its rules for what comes in; ``peers`` are the groups that these
    name, in the form of ``peer_of``. A rule whose peer is not there is left out."""
    coming_in = [rule for rule in group["security_group_rules"] if rule["direction"] == "ingress"]
    known = [rule for rule in coming_in if not rule["remote_group_id"] or rule["remote_group_id"] in peers]
    return {
        "id": group["id"],
        "name": group["name"],
        "description": group["description"] or "",
        "tenant_id": group["project_id"],
        "rules": [rule_view(rule, peers) for rule in known],
    }


def rule_view(rule: Mapping[str, Any], peers: Mapping[str, dict[str, str]]) -> dict[str, Any]:
    """A rule of the network service."""
    first, last = ports_shown(rule)
    peer = rule["remote_group_id"]
    prefix = rule["remote_ip_prefix"] or EVERYWHERE[rule["ethertype"]]
    return {
        "id": rule["id"],
        "parent_group_id": rule["security_group_id"],
        "ip_protocol": rule["protocol"],
        "from_port": first,
        "to_port": last,
        "group": peers[peer] if peer else {},
        "ip_range": {} if peer else {"cidr": prefix},
    }


def ports_shown(rule: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """The ports of a rule; one of a protocol alone shows all ports, or for ICMP -1."""
    first, last = rule["port_range_min"], rule["port_range_max"]
    if rule["protocol"] and first is None and last is None:
        return (1, LARGEST_PORT) if rule["protocol"].lower() in ("tcp", "udp") else (-1, -1)
    return first, last


def new_rule(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a new rule as the network service takes it. Raises BadRule."""
    peer = asked.get("group_id")
    prefix = None if peer is not None else _prefix(asked.get("cidr"))
    protocol, first, last = asked.get("ip_protocol"), asked.get("from_port"), asked.get("to_port")
    if peer is not None and first is None and last is None:
        name = str(protocol or "").lower()
        first, last = {"icmp": (-1, -1), "tcp": (1, LARGEST_PORT), "udp": (1, LARGEST_PORT)}.get(
            name, (None, None)
        )
    if not protocol or first is None or last is None:
        if peer is None:
            raise BadRule("Not enough parameters to build a valid rule.")
        protocol = first = last = None
    else:
        protocol, first, last = _checked(str(protocol), first, last)
    return {
        "direction": "ingress",
        "ethertype": "IPv6" if prefix is not None and ":" in prefix else "IPv4",
        "protocol": protocol,
        "port_range_min": first,
        "port_range_max": last,
        "remote_ip_prefix": prefix,
        "remote_group_id": peer,
        "security_group_id": asked["parent_group_id"],
    }


def exists(rules: Sequence[Mapping[str, Any]], new: Mapping[str, Any]) -> bool:
    """Whether a group has a rule that lets in the same."""
    return any(_meaning(rule) == _meaning(new) for rule in rules if rule["direction"] == "ingress")


def _meaning(rule: Mapping[str, Any]) -> tuple[Any, ...]:
    prefix = rule["remote_ip_prefix"] or EVERYWHERE[rule["ethertype"]]
    whose = rule["remote_group_id"] or prefix
    return (whose, rule["ethertype"], rule["protocol"], *ports_shown(rule))


def _prefix(text: Any) -> str:
    if not text:
        return EVERYWHERE["IPv4"]
    found = unquote(str(text))
    try:
        if "/" not in found:
            raise ValueError(found)
        network = ipaddress.ip_network(found, strict=False)
    except ValueError:
        raise BadRule(f"{text} is not a valid IP network.") from None
    if network.prefixlen == 0 and not found.startswith(("0.0.0.0/", "::/")):
        raise BadRule(f"Bad prefix for network in cidr {found}")
    return found


def _checked(protocol: str, first: Any, last: Any) -> tuple[str, int | None, int | None]:
    """The protocol and its ports, or type and code of ICMP; -1 means any."""
    name = protocol.lower()
    try:
        if isinstance(first, bool) or isinstance(last, bool):
            raise ValueError
        low, high = int(first), int(last)
    except (TypeError, ValueError):
        what = "Type and Code must be integers for ICMP protocol type"
        raise BadRule(
            f"Invalid input received: {what if name == 'icmp' else 'To and From ports must be integers'}"
        ) from None
    if name not in _PROTOCOLS:
        raise BadRule(f"Invalid IP protocol {protocol}.")
    wrong = None
    if name == "icmp":
        if not (-1 <= low <= 255 and -1 <= high <= 255):
            wrong = "For ICMP, the type:code must be valid"
    elif low > high:
        wrong = "Former value cannot be greater than the later"
    elif low < 1 or high > LARGEST_PORT:
        wrong = f"Valid {protocol.upper()} ports should be between 1-{LARGEST_PORT}"
    if wrong is not None:
        raise BadRule(f"Invalid port range {low}:{high}. {wrong}")
    return name, None if low == -1 else low, None if high == -1 else high
