"""Security group rules: what is a valid rule, its normal form, and when two rules are the same.

Messages, names and their order are the Network API's (extension ``security-group``);
protocol numbers are IANA's.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from pileus.core.addresses import parse_interface
from pileus.core.errors import Invalid

PROTOCOLS: dict[str, int] = {
    "ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "hopopt": 0, "icmp": 1, "igmp": 2, "ip": 0,
    "ipip": 4, "ipv6-encap": 41, "ipv6-frag": 44, "ipv6-icmp": 58, "icmpv6": 58, "ipv6-nonxt": 59,
    "ipv6-opts": 60, "ipv6-route": 43, "ospf": 89, "pgm": 113, "rsvp": 46, "sctp": 132, "tcp": 6,
    "udp": 17, "udplite": 136, "vrrp": 112,
}  # fmt: skip
PORT_PROTOCOLS = ("tcp", "udp", "udplite", "sctp", "dccp")
_ICMP = frozenset({"icmp", "ipv6-icmp", "icmpv6"})
_IPV6_ONLY = frozenset(
    {"ipv6-encap", "ipv6-frag", "ipv6-icmp", "icmpv6", "ipv6-nonxt", "ipv6-opts", "ipv6-route"}
)
_IPV6_ONLY_NUMBERS = frozenset(str(PROTOCOLS[name]) for name in _IPV6_ONLY)
_LEGACY = {"icmpv6": "ipv6-icmp"}
_NAMES = {
    PROTOCOLS[name]: name
    for name in ("icmp", "tcp", "udp", "udplite", "sctp", "dccp", "ipv6-icmp", "ipv6-frag")
}


class SecurityGroupRuleInvalidEtherType(Invalid):
    message = "Security group rule for ethertype '{ethertype}' not supported. Allowed values are {values}."


class SecurityGroupRuleInvalidProtocol(Invalid):
    message = (
        "Security group rule protocol {protocol} not supported. Only protocol values {values} "
        "and integer representations [0 to 255] are supported."
    )


class SecurityGroupEthertypeConflictWithProtocol(Invalid):
    message = "Invalid ethertype {ethertype} for protocol {protocol}."


class SecurityGroupProtocolRequiredWithPorts(Invalid):
    message = "Must also specify protocol if port range is given."


class SecurityGroupInvalidProtocolForPort(Invalid):
    message = (
        "Ports cannot be specified for protocol {protocol}. "
        "Ports are only supported for {valid_port_protocols}."
    )


class SecurityGroupInvalidPortValue(Invalid):
    message = "Invalid value for port {port}"


class SecurityGroupInvalidPortRange(Invalid):
    message = "For TCP/UDP protocols, port_range_min must be <= port_range_max"


class SecurityGroupInvalidIcmpValue(Invalid):
    message = "Invalid value for ICMP {field} ({attr}) {value}. It must be 0 to 255."


class SecurityGroupMissingIcmpType(Invalid):
    message = "ICMP code (port-range-max) {value} is provided but ICMP type (port-range-min) is missing."


class SecurityGroupMultipleRemoteEntites(Invalid):
    message = "Only one of remote_ip_prefix or remote_group_id or remote_address_group_id may be provided."


class InvalidCIDR(Invalid):
    message = "Invalid CIDR {input} given as IP prefix."


class SecurityGroupRuleParameterConflict(Invalid):
    message = "Conflicting value ethertype {ethertype} for CIDR {cidr}"


def normalise(rule: Mapping[str, Any]) -> dict[str, Any]:
    """The matching fields of a rule in normal form; a subclass of Invalid otherwise.

    Names of protocols in lower case, numbers as text, no ports where all are meant. ``remote_ip_prefix``
    keeps the caller's host bits (that is what is shown), ``normalized_cidr`` has them cleared.
    """
    direction = rule["direction"]
    ethertype = ethertype_of(rule.get("ethertype", "IPv4"))
    protocol = protocol_of(rule.get("protocol"))
    low, high = rule.get("port_range_min"), rule.get("port_range_max")
    _check_ethertype_protocol(ethertype, protocol)
    protocol = _with_ethertype(ethertype, protocol)
    low, high = _check_ports(protocol, low, high)
    prefix, group = rule.get("remote_ip_prefix"), rule.get("remote_group_id")
    address_group = rule.get("remote_address_group_id")
    if [prefix, group, address_group].count(None) < 2:
        raise SecurityGroupMultipleRemoteEntites()
    return {
        "direction": direction,
        "ethertype": ethertype,
        "protocol": protocol,
        "port_range_min": low,
        "port_range_max": high,
        **_prefix(ethertype, prefix),
        "remote_group_id": group,
        "remote_address_group_id": address_group,
    }


def key(rule: Mapping[str, Any]) -> str:
    """Equal for rules that match the same packets by the same words; 40 hex digits."""
    protocol = rule["protocol"]
    if protocol is not None:
        protocol = "any" if protocol == "ip" else str(PROTOCOLS.get(protocol, protocol))
    prefix = rule["normalized_cidr"]
    if prefix in ("0.0.0.0/0", "::/0"):
        prefix = None
    fields: tuple[Any, ...] = (
        rule["direction"], rule["ethertype"], None if protocol == "any" else protocol,
        rule["port_range_min"], rule["port_range_max"], prefix, rule["remote_group_id"],
    )  # fmt: skip
    if rule["remote_address_group_id"] is not None:  # others are stored with the digest of the rest
        fields = (*fields, rule["remote_address_group_id"])
    return hashlib.sha1(repr(fields).encode(), usedforsecurity=False).hexdigest()


def ethertype_of(given: Any) -> str:
    """The normal form of an ethertype's name; SecurityGroupRuleInvalidEtherType for what is none."""
    found = {"ipv4": "IPv4", "ipv6": "IPv6"}.get(str(given).lower())
    if found is None:
        raise SecurityGroupRuleInvalidEtherType(ethertype=given, values=["IPv4", "IPv6"])
    return found


def protocol_of(given: Any) -> str | None:
    """The normal form of a protocol's name or number, None for any; SecurityGroupRuleInvalidProtocol."""
    if given is None:
        return None
    name = str(given).lower()
    if name == "any":
        return None
    if name.isdecimal() and len(name) <= 3 and int(name) <= 255:
        return str(int(name))
    if name not in PROTOCOLS:
        raise SecurityGroupRuleInvalidProtocol(protocol=given, values=["any", *PROTOCOLS])
    return name


def port_of(given: Any) -> int | None:
    """A port's number in any form that stands for one; SecurityGroupInvalidPortValue for what is none."""
    if given is None:
        return None
    try:
        number = int(given)
    except (TypeError, ValueError, OverflowError):
        number = -1
    if not 0 <= number <= 65535:
        raise SecurityGroupInvalidPortValue(port=given)
    return number


def prefix_of(given: Any) -> str | None:
    """A remote prefix with its host bits, an address being one of full length; InvalidCIDR otherwise."""
    if not given:
        return None
    return _read(given).text


class _Prefix(NamedTuple):
    text: str
    ethertype: str
    network: str


def _read(given: Any) -> _Prefix:
    try:
        return _read_text(given if isinstance(given, str) else "")
    except ValueError:
        raise InvalidCIDR(input=given) from None


@functools.lru_cache(1 << 12)
def _read_text(text: str) -> _Prefix:
    """A prefix is read with the body and again with its rule, and a thousand rules share a few."""
    interface = parse_interface(text)
    return _Prefix(str(interface), f"IPv{interface.version}", str(interface.network))


def _check_ethertype_protocol(ethertype: str, protocol: str | None) -> None:
    if ethertype == "IPv4" and (protocol in _IPV6_ONLY or protocol in _IPV6_ONLY_NUMBERS):
        raise SecurityGroupEthertypeConflictWithProtocol(ethertype=ethertype, protocol=protocol)


def _with_ethertype(ethertype: str, protocol: str | None) -> str | None:
    if protocol is None:
        return None
    if ethertype == "IPv6" and protocol in ("icmp", "icmpv6"):
        return "ipv6-icmp"
    if ethertype == "IPv6" and protocol == str(PROTOCOLS["icmp"]):
        return str(PROTOCOLS["ipv6-icmp"])
    return _LEGACY.get(protocol, protocol)


def _check_ports(protocol: str | None, low: Any, high: Any) -> tuple[int | None, int | None]:
    if low is None and high is None:
        return None, None
    name = _NAMES.get(int(protocol), protocol) if protocol and protocol.isdecimal() else protocol
    if name is None or name == "ip":
        raise SecurityGroupProtocolRequiredWithPorts()
    if name in _ICMP:
        for attr, field, value in (("port_range_min", "type", low), ("port_range_max", "code", high)):
            if value is not None and not 0 <= value <= 255:
                raise SecurityGroupInvalidIcmpValue(field=field, attr=attr, value=value)
        if low is None:
            raise SecurityGroupMissingIcmpType(value=high)
        return low, high
    if name not in PORT_PROTOCOLS:
        raise SecurityGroupInvalidProtocolForPort(
            protocol=PROTOCOLS.get(name, name), valid_port_protocols=", ".join(PORT_PROTOCOLS).upper()
        )
    for port in (low, high):
        if port is not None and not 1 <= port <= 65535:
            raise SecurityGroupInvalidPortValue(port=port)
    if low is None or high is None or low > high:
        raise SecurityGroupInvalidPortRange()
    return (None, None) if (low, high) == (1, 65535) else (low, high)


def _prefix(ethertype: str, prefix: str | None) -> dict[str, str | None]:
    if not prefix:
        return {"remote_ip_prefix": None, "normalized_cidr": None}
    found = _read(prefix)
    if found.ethertype != ethertype:
        raise SecurityGroupRuleParameterConflict(ethertype=ethertype, cidr=found.text)
    return {"remote_ip_prefix": found.text, "normalized_cidr": found.network}
