"""Security groups as flows: profiles, rules, remote groups and address groups.

A *profile* is a set of security groups that at least one device has. The rules of its groups
exist once for the profile, however many devices have it. A rule that names a remote group is
a conjunction of two dimensions (ovs-fields(7), "Conjunctive Match Fields"): *who* (one flow
for each member's address, of the group alone: no profile, rule or network in it) and *what*
(one flow for each rule, in its profile). So one member more is one flow in each direction,
and a rule or a device more leaves the members' flows alone. An address group is a remote group
whose members are its prefixes.

The manual calls the outcome unpredictable where several conjunctions hold for one packet:
which one is found is not said, that one is found is. All of ours lead to the same table, so
it does not matter. What overlaps lies at one priority for the same reason.

Packets come here when they open a connection or go in its first direction, so a rule that is
taken away is noticed by connections that it let in: they are marked, and cut in both directions.
Those of devices with stateless groups all come here, in both directions, and are not tracked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from pileus.core import log
from pileus.drivers.openflow.flow import Flow, Key
from pileus.drivers.openflow.memos import MEMOS
from pileus.host.l2 import tables
from pileus.host.l2.match import Unmatchable, address_match, conjoin, rule_matches
from pileus.host.l2.numbers import stable_ids
from pileus.wire.switch import DeviceDetails, SecurityGroupDetails, SecurityRule

_log = log.get("host.l2")

PRIORITY = 70

NO_PROFILE = 0
"""The profile register of devices without port security: nothing is asked of their packets."""

_TABLES = {
    "egress": (tables.EGRESS_RULES, tables.EGRESS_ACCEPT),
    "ingress": (tables.INGRESS_RULES, tables.INGRESS_ACCEPT),
}


def is_secured(device: DeviceDetails) -> bool:
    """Whether rules and anti-spoofing apply: not to ports of the network's own services."""
    return device.port_security_enabled and not device.device_owner.startswith("network:")


def profile_key(device: DeviceDetails) -> str:
    """The name of a device's set of groups."""
    return ",".join(sorted(set(device.security_group_ids)))


class GroupNumbers(msgspec.Struct, frozen=True):
    """Register values of profiles and conjunction ids of remote groups."""

    profiles: dict[str, int] = {}
    conjunctions: dict[str, int] = {}


def other_side(rule: SecurityRule) -> str | None:
    """The group or address group whose members a rule is about; None: it is about anyone, or a prefix."""
    return rule.remote_group_id or rule.remote_address_group_id


def stateless_profiles(profiles: Iterable[str], groups: Mapping[str, SecurityGroupDetails]) -> set[str]:
    """Those whose groups are stateless. The server lets no port have both kinds; where it had, or where a
    group is not known yet, connections are tracked."""
    return {
        profile
        for profile in profiles
        if all(key in groups and not groups[key].stateful for key in profile.split(","))
    }


def number_groups(
    devices: Iterable[DeviceDetails], groups: Mapping[str, SecurityGroupDetails]
) -> GroupNumbers:
    """Numbers for the profiles of ``devices`` and for the groups that their rules refer to."""
    profiles = {profile_key(device) for device in devices if is_secured(device)}
    in_use = {group_id for profile in profiles for group_id in profile.split(",")}
    remote = {
        other
        for group_id in in_use
        if group_id in groups
        for rule in groups[group_id].rules
        if (other := other_side(rule))
    }
    numbers = stable_ids(profiles)
    stateless = stateless_profiles(profiles, groups)
    return GroupNumbers(
        {key: number | tables.STATELESS if key in stateless else number for key, number in numbers.items()},
        stable_ids(remote),
    )


def profile_flows(
    number: int, security_rules: tuple[SecurityRule, ...], conjunctions: Mapping[str, int]
) -> list[Flow]:
    """The rules of a profile in both directions; equal ones of several groups are one flow."""
    opened: dict[tuple[str, str], set[int] | None] = {}
    for rule in security_rules:
        for match in _matches(rule, number):
            key = (rule.direction, match)
            if (other := other_side(rule)) is None:
                opened[key] = None  # open to anyone: it takes the members in
            elif (members := opened.setdefault(key, set())) is not None:
                members.add(conjunctions[other])
    flows = []
    for (direction, match), members in opened.items():
        table, accept = _TABLES[direction]
        actions = (
            f"resubmit(,{accept})"
            if members is None
            else ",".join(f"conjunction({one},2/2)" for one in sorted(members))
        )
        flows.append(Flow(table, PRIORITY, match, actions, tables.GROUP_COOKIE))
    return flows


def _matches(rule: SecurityRule, number: int) -> list[str]:
    try:
        matches = rule_matches(rule)
        if rule.remote_ip_prefix is not None:
            other = address_match(rule.direction, rule.remote_ip_prefix)
            if other.startswith("ipv6") != (rule.ethertype == "IPv6"):
                raise Unmatchable(f"{rule.remote_ip_prefix} in an {rule.ethertype} rule")
            matches = [conjoin(match, other) for match in matches]
    except ValueError as error:
        _log.warning(
            "a security rule can't be expressed and permits nothing", rule=rule.rule_id, why=str(error)
        )
        return []
    return [conjoin(match, f"{tables.PROFILE}=0x{number:x}") for match in matches]


def directions_of_members(
    profiles: Iterable[str], groups: Mapping[str, SecurityGroupDetails]
) -> dict[str, frozenset[str]]:
    """Remote group or address group to the directions in which a rule of a profile in use refers to it."""
    found: dict[str, set[str]] = {}
    for group_id in {group_id for profile in profiles for group_id in profile.split(",")}:
        if group_id in groups:
            for rule in groups[group_id].rules:
                if other := other_side(rule):
                    found.setdefault(other, set()).add(rule.direction)
    return {group_id: frozenset(directions) for group_id, directions in found.items()}


class Members:
    """Flows of members, kept and patched: one member more is one address looked at, not all of its group."""

    def __init__(self) -> None:
        self._referred: Mapping[str, frozenset[str]] = {}
        self._conjunctions: Mapping[str, int] = {}
        self._addresses: dict[str, frozenset[str]] = {}
        self._flows: dict[Key, Flow] = {}

    def forget(self) -> None:
        """Compute everything again."""
        self._referred, self._conjunctions, self._addresses, self._flows = {}, {}, {}, {}

    def flows(
        self,
        referred: Mapping[str, frozenset[str]],
        addresses: Mapping[str, tuple[str, ...]],
        conjunctions: Mapping[str, int],
    ) -> dict[Key, Flow]:
        """One flow for each member's address and direction, and what happens where both dimensions hold.

        ``referred`` says in which directions rules name a group, ``addresses`` who is in it. Of what is
        returned nothing may be changed.
        """
        now = {group_id: frozenset(addresses.get(group_id, ())) for group_id in referred}
        if referred != self._referred or conjunctions != self._conjunctions:
            flows = {flow.key: flow for flow in _outcomes(referred, conjunctions)}
            touched = {_bare(one) for several in now.values() for one in several}
        else:
            changed = {
                one
                for group_id, several in now.items()
                for one in several.symmetric_difference(self._addresses[group_id])
            }
            if not changed:
                return self._flows
            flows, touched = dict(self._flows), {_bare(one) for one in changed}
        order = sorted(referred, key=conjunctions.__getitem__)
        for address in touched:
            spellings = {address, f"{address}/128" if ":" in address else f"{address}/32"}
            of = [group_id for group_id in order if not spellings.isdisjoint(now[group_id])]
            for direction in _TABLES:
                numbers = tuple(conjunctions[group_id] for group_id in of if direction in referred[group_id])
                flow = _member_flow(direction, address, numbers)
                if numbers:
                    flows[flow.key] = flow
                else:
                    flows.pop(flow.key, None)
        self._referred, self._conjunctions = dict(referred), dict(conjunctions)
        self._addresses, self._flows = now, flows
        return flows


def _outcomes(referred: Mapping[str, frozenset[str]], conjunctions: Mapping[str, int]) -> Iterator[Flow]:
    for group_id, directions in referred.items():
        for direction in sorted(directions):
            table, accept = _TABLES[direction]
            match = f"conj_id={conjunctions[group_id]}"
            yield Flow(table, PRIORITY, match, f"resubmit(,{accept})", tables.GROUP_COOKIE)


def _bare(address: str) -> str:
    """10.0.0.5/32 and 10.0.0.5 are one flow."""
    return address.removesuffix("/128" if ":" in address else "/32")


@MEMOS.remember(1 << 16)
def _member_flow(direction: str, address: str, conjunctions: tuple[int, ...]) -> Flow:
    return Flow(
        _TABLES[direction][0],
        PRIORITY,
        address_match(direction, address),
        ",".join(f"conjunction({one},1/2)" for one in conjunctions),
        tables.GROUP_COOKIE,
    )
