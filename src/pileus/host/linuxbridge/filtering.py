"""Security groups and anti-spoofing of a node's devices as tables of nftables' bridge family. Pure.

``prerouting`` asks of each frame from a device whether it may claim its addresses; ``forward`` asks the rules
of the sender's profile (a set of security groups, whose rules exist once) and of the receiver's. Members of
remote groups are elements of sets, so that one more is one element. The machine's own stack sees no frame of
a device: ``input`` drops them.

Whether a packet is a reply is read from its mark, which the tracker has put there: in the bridge family
itself where the kernel tracks connections of bridges (nf_conntrack_bridge), else in the family inet, through
which br_netfilter leads the packets of our bridges. Each network's bridge is a zone of its own, since
networks may have the same addresses. Packets in a connection's first direction are asked each time, so that
a rule that is taken away is noticed.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import msgspec

from pileus.core import log
from pileus.drivers.nft.table import PREFIX, Base, Chain, Element, Expression, NamedSet, Rule, Table
from pileus.host.l2.devices import sources
from pileus.host.l2.match import protocol_number
from pileus.host.l2.model import Model
from pileus.host.l2.rules import is_secured, other_side, profile_key, stateless_profiles
from pileus.wire.switch import DeviceDetails, SecurityRule

_log = log.get("host.linuxbridge")

PORTS, TRACKING = f"{PREFIX}ports", f"{PREFIX}tracking"
Tracker = Literal["bridge", "inet", ""]
"""The family in which connections of bridged packets are tracked; none: nothing that needs it passes."""

REPLY, INVALID = 0x504C0001, 0x504C0002
_ZONES, _GUARD, _TRACK, _FORWARD = -300, -250, -10, 100
"""Priorities: zones before connection tracking (-200), marks before rules."""
_PORTED = {6: "tcp", 17: "udp", 33: "dccp", 132: "sctp", 136: "udplite"}
_ICMP = {1: "icmp", 58: "icmpv6"}
_FAMILIES = {"IPv4": "ip", "IPv6": "ip6"}
_OUT_ICMPV6 = (130, 131, 132, 133, 135, 136, 143)
_IN_ICMPV6 = (130, 134, 135, 136)
_ACCEPT: Expression = {"return": None}
_DROP: Expression = {"drop": None}


class Filtered(msgspec.Struct, frozen=True):
    """A device that is wired: its interface, and its network's bridge."""

    details: DeviceDetails
    interface: str
    bridge: str


def tables(
    model: Model, wired: Iterable[Filtered], dead: Iterable[str], zones: Mapping[str, int], tracker: Tracker
) -> list[Table]:
    """All tables of a node. ``dead`` are interfaces that nobody vouches for; ``zones``: bridge to number."""
    devices = sorted(wired, key=lambda one: one.interface)
    secured = [one for one in devices if is_secured(one.details)]
    profiles = sorted({profile_key(one.details) for one in secured})
    referred = _referred(model, profiles)
    found = [
        Table(
            name=PORTS,
            family="bridge",
            sets=(
                NamedSet(name="devices", type=("ifname",), elements=_names(one.interface for one in devices)),
                NamedSet(name="dead", type=("ifname",), elements=_names(dead)),
                *_member_sets(model, referred),
            ),
            chains=(
                *_bases(devices, secured, zones, tracker),
                *_guards(secured),
                *_profiles(model, profiles),
            ),
        )
    ]
    if tracker == "inet":
        found.append(_inet_table(zones))
    return found


def _names(names: Iterable[str]) -> tuple[Element, ...]:
    return tuple(map(Element, sorted(names)))


def _bases(
    devices: list[Filtered], secured: list[Filtered], zones: Mapping[str, int], tracker: Tracker
) -> Iterator[Chain]:
    name_of = {one.interface: _profile_name(profile_key(one.details)) for one in secured}
    yield Chain(
        "prerouting",
        (
            Rule("dead", (_is(_meta("iifname"), "@dead"), _DROP)),
            *_dispatch("guard", "iifname", {one.interface: f"guard-{one.interface}" for one in secured}),
        ),
        Base("filter", "prerouting", _GUARD),
    )
    if tracker == "bridge":
        # Whatever member of the bridge a packet comes by: what is behind an uplink answers, too.
        yield zone_chain(zones, "ibrname")
        yield Chain("tracking", tuple(_track()), Base("filter", "forward", _TRACK))
    yield Chain(
        "forward",
        (
            Rule("dead", (_is(_meta("oifname"), "@dead"), _DROP)),
            *_dispatch("out", "iifname", {name: f"out-{profile}" for name, profile in name_of.items()}),
            *_dispatch("in", "oifname", {name: f"in-{profile}" for name, profile in name_of.items()}),
        ),
        Base("filter", "forward", _FORWARD),
    )
    own = Rule("from devices", (_is(_meta("iifname"), "@devices"), _DROP))
    yield Chain("input", (own,), Base("filter", "input", 0))


def _dispatch(label: str, key: str, chains: Mapping[str, str]) -> Iterator[Rule]:
    """One look-up for all devices: an anonymous map from names to chains."""
    if chains:
        data = [[name, {"jump": {"target": chain}}] for name, chain in sorted(chains.items())]
        yield Rule(label, ({"vmap": {"key": _meta(key), "data": {"set": data}}},))


def zone_chain(zones: Mapping[str, int], bridge: Literal["iifname", "ibrname"]) -> Chain:
    """Give each bridge's packets their zone; ``bridge``: where the bridge's name stands, outside of the
    bridge family or in it."""
    rules: tuple[Rule, ...] = ()
    if zones:
        data = [[name, zone] for name, zone in sorted(zones.items())]
        value = {"map": {"key": _meta(bridge), "data": {"set": data}}}
        rules = (Rule("zones", ({"mangle": {"key": {"ct": {"key": "zone"}}, "value": value}},)),)
    return Chain("zones", rules, Base("filter", "prerouting", _ZONES))


def _track() -> Iterator[Rule]:
    invalid = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "invalid"}}
    related = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "related"}}
    established = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "established"}}
    reply = _is({"ct": {"key": "direction"}}, "reply")
    yield Rule("invalid", (invalid, _mark(INVALID)))
    yield Rule("related", (related, _mark(REPLY)))
    yield Rule("reply", (established, reply, _mark(REPLY)))


def _inet_table(zones: Mapping[str, int]) -> Table:
    """The tracker outside the bridge family. Packets of others are left alone."""
    ours = _is(_meta("iifname"), "@bridges")
    track = tuple(Rule(rule.label, (ours, *rule.expressions)) for rule in _track())
    return Table(
        name=TRACKING,
        family="inet",
        sets=(NamedSet(name="bridges", type=("ifname",), elements=_names(zones)),),
        chains=(
            zone_chain(zones, "iifname"),
            Chain("tracking", track, Base("filter", "forward", _TRACK)),
        ),
    )


# -- who a device may claim to be


def _guards(secured: Iterable[Filtered]) -> Iterator[Chain]:
    for one in secured:
        yield Chain(f"guard-{one.interface}", tuple(_guard(one.details)))


def _guard(details: DeviceDetails) -> Iterator[Rule]:
    """Never: another's MAC address, tags, answers of DHCP, advertised routes. Then who vouches for
    addresses."""
    known = sources(details)
    macs = sorted(known)
    yield Rule("mac", (_is(_field("ether", "saddr"), _any_of(macs), "!="), _DROP))
    tag = _is(_field("ether", "type"), {"set": [0x8100, 0x88A8]})
    yield Rule("tags", (tag, _DROP))
    yield Rule("dhcp server", (_protocol("ip"), *_ports("udp", 67, 68), _DROP))
    yield Rule("dhcpv6 server", (_protocol("ip6"), *_ports("udp", 547, 546), _DROP))
    yield Rule("routes", (_icmpv6(134, 137), _DROP))
    nobody = _is(_field("ip", "saddr"), "0.0.0.0")  # noqa: S104 - no address is bound
    yield Rule("dhcp client", (nobody, *_ports("udp", 68, 67), _ACCEPT))
    unspecified = _is(_field("ip6", "saddr"), "::")
    yield Rule("multicast", (unspecified, _icmpv6(131, 133, 143), _ACCEPT))
    for mac in macs:
        own = _is(_field("ether", "saddr"), mac)
        networks = [ipaddress.ip_network(address, strict=False) for address in known[mac]]
        four = _any_of([_prefix(one) for one in networks if one.version == 4])
        six = _any_of([_prefix(one) for one in networks if one.version == 6])
        if four is not None:
            arp = (_is(_field("arp", "saddr ether"), mac), _is(_field("arp", "saddr ip"), four))
            yield Rule("arp", (own, *arp, _ACCEPT))
            yield Rule("ip", (own, _is(_field("ip", "saddr"), four), _ACCEPT))
        if six is not None:
            for network in networks:
                if network.version == 6:
                    target = _target(network)
                    yield Rule("advertisement", (own, _icmpv6(136), *target, _ACCEPT))
                    yield Rule("free", (own, unspecified, _icmpv6(135), *target, _ACCEPT))
            yield Rule("not its own", (own, _icmpv6(136), _DROP))
            yield Rule("ipv6", (own, _is(_field("ip6", "saddr"), six), _ACCEPT))
    yield Rule("nothing else", (_DROP,))


# -- rules of groups


def _profiles(model: Model, profiles: list[str]) -> Iterator[Chain]:
    stateless = stateless_profiles(profiles, model.groups)
    for profile in profiles:
        for direction in ("egress", "ingress"):
            chain = f"{'out' if direction == 'egress' else 'in'}-{_profile_name(profile)}"
            yield Chain(chain, tuple(_profile(model, profile, direction, tracked=profile not in stateless)))


def _profile_name(profile: str) -> str:
    """A chain's name has 31 characters, a profile any number."""
    return hashlib.sha256(profile.encode()).hexdigest()[:16]


def _profile(model: Model, profile: str, direction: str, *, tracked: bool) -> Iterator[Rule]:
    out = direction == "egress"
    yield Rule("arp", (_protocol("arp"), _ACCEPT))
    yield Rule("dhcp", (_protocol("ip"), *_ports("udp", *((68, 67) if out else (67, 68))), _ACCEPT))
    yield Rule("dhcpv6", (_protocol("ip6"), *_ports("udp", *((546, 547) if out else (547, 546))), _ACCEPT))
    yield Rule("icmpv6", (_icmpv6(*(_OUT_ICMPV6 if out else _IN_ICMPV6)), _ACCEPT))
    if tracked:
        yield Rule("invalid", (_is(_meta("mark"), INVALID), _DROP))
        yield Rule("reply", (_is(_meta("mark"), REPLY), _ACCEPT))
    for group_id in profile.split(","):
        group = model.groups.get(group_id)
        for rule in group.rules if group is not None else ():
            if rule.direction != direction:
                continue
            try:
                expressions = tuple(_rule(rule))
            except ValueError as error:
                _log.warning(
                    "a security rule can't be expressed and permits nothing",
                    rule=rule.rule_id,
                    why=str(error),
                )
                continue
            yield Rule(rule.rule_id[:40], (*expressions, _ACCEPT))
    yield Rule("nothing else", (_DROP,))


def _rule(rule: SecurityRule) -> Iterator[Expression]:
    family = _FAMILIES[rule.ethertype]
    yield _protocol(family)
    side = _field(family, "daddr" if rule.direction == "egress" else "saddr")
    if rule.remote_ip_prefix is not None:
        network = ipaddress.ip_network(rule.remote_ip_prefix, strict=False)
        if (network.version == 6) != (family == "ip6"):
            raise ValueError(f"{rule.remote_ip_prefix} in an {rule.ethertype} rule")
        if network.prefixlen:
            yield _is(side, _prefix(network))
    elif (other := other_side(rule)) is not None:
        yield _is(side, f"@{_set_name(family, other)}")
    if rule.protocol is None or rule.protocol == "any":
        return
    number = protocol_number(rule.protocol)
    if number == 1 and family == "ip6":
        number = 58  # Neutron takes icmp for ICMPv6 in an IPv6 rule
    yield _is(_meta("l4proto"), number)
    low, high = rule.port_range_min, rule.port_range_max
    if number in _ICMP:
        for field, value in (("type", low), ("code", high)):
            if value is not None:
                yield _is(_field(_ICMP[number], field), value)
    elif low is not None or high is not None:
        if number not in _PORTED:
            raise ValueError(f"protocol {rule.protocol} has no ports")
        first, last = (low if low is not None else 0), (high if high is not None else 65535)
        port: Any = first if first == last else {"range": [first, last]}
        yield _is(_field("th", "dport"), port)


def _referred(model: Model, profiles: Iterable[str]) -> list[str]:
    """Remote groups and address groups that rules in use name."""
    groups = (model.groups.get(group_id) for profile in profiles for group_id in profile.split(","))
    rules = (rule for group in groups if group is not None for rule in group.rules)
    return sorted({other for rule in rules if (other := other_side(rule)) is not None})


def _member_sets(model: Model, referred: Iterable[str]) -> Iterator[NamedSet]:
    for other in referred:
        members: tuple[str, ...] = ()
        if (group := model.groups.get(other)) is not None:
            members = group.member_ips
        elif (address_group := model.address_groups.get(other)) is not None:
            members = address_group.addresses
        networks = [ipaddress.ip_network(member, strict=False) for member in members]
        for family, version, kind in (("ip", 4, "ipv4_addr"), ("ip6", 6, "ipv6_addr")):
            mine = ipaddress.collapse_addresses(one for one in networks if one.version == version)  # type: ignore[type-var]
            yield NamedSet(
                name=_set_name(family, other),
                type=(kind,),
                interval=True,
                elements=tuple(Element(_text(one)) for one in sorted(mine)),
            )


def _set_name(family: str, other: str) -> str:
    return f"{family}-{hashlib.sha256(other.encode()).hexdigest()[:16]}"


def _text(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str:
    whole = network.prefixlen == network.max_prefixlen
    return str(network.network_address) if whole else str(network)


# -- the words of nft's JSON


def _prefix(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> Any:
    if network.prefixlen == network.max_prefixlen:
        return str(network.network_address)
    return {"prefix": {"addr": str(network.network_address), "len": network.prefixlen}}


def _any_of(values: list[Any]) -> Any:
    """One value as it is, several as an anonymous set; None for none."""
    if len(values) > 1:
        return {"set": values}
    return values[0] if values else None


def _is(left: Expression, right: Any, operator: str = "==") -> Expression:
    return {"match": {"op": operator, "left": left, "right": right}}


def _meta(key: str) -> Expression:
    return {"meta": {"key": key}}


def _field(protocol: str, field: str) -> Expression:
    return {"payload": {"protocol": protocol, "field": field}}


def _protocol(name: str) -> Expression:
    return _is(_meta("protocol"), name)


def _mark(value: int) -> Expression:
    return {"mangle": {"key": _meta("mark"), "value": value}}


def _ports(protocol: str, source: int, destination: int) -> tuple[Expression, ...]:
    return _is(_field(protocol, "sport"), source), _is(_field(protocol, "dport"), destination)


def _target(network: ipaddress.IPv6Network) -> tuple[Expression, ...]:
    """The target of a solicitation or advertisement (RFC 4861, 4.3, 4.4); nft 1.0.6 has no word for it."""
    length = network.prefixlen
    if not length:
        return ()
    value = int(network.network_address) >> (128 - length)
    return (_is({"payload": {"base": "th", "offset": 64, "len": length}}, f"{value:#x}"),)


def _icmpv6(*kinds: int) -> Expression:
    return _is(_field("icmpv6", "type"), _any_of(list(kinds)))
