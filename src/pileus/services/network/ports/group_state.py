"""The security groups of a host's ports, and whoever is in those that their rules name.

The statements are made once: what a group's members cost is read for every member that comes or goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    BindParameter,
    CompoundSelect,
    Row,
    Select,
    String,
    Text,
    and_,
    bindparam,
    null,
    or_,
    select,
    type_coerce,
    union_all,
)

from pileus.services.network.address_groups.tables import address_group_addresses, address_groups
from pileus.services.network.agents.replicas import replicas_on
from pileus.services.network.ports.tables import ports
from pileus.services.network.rules.binding import BINDING_FAILED, UNBOUND
from pileus.services.network.security_groups.tables import (
    security_group_ports,
    security_group_rules,
    security_groups,
)
from pileus.services.network.subnets.tables import ip_allocations
from pileus.store.tx import Tx
from pileus.wire.switch import AddressGroupDetails, SecurityGroupDetails, SecurityRule

_HOST = bindparam("on_host", type_=String)
_WANTED: BindParameter[Any] = bindparam("wanted", expanding=True)
_PLUGGED = and_(
    or_(ports.c.host == _HOST, ports.c.id.in_(replicas_on(_HOST))),
    ports.c.vif_type.not_in((UNBOUND, BINDING_FAILED)),
)
_GROUPS_HERE = (
    select(security_group_ports.c.security_group_id)
    .select_from(security_group_ports.join(ports, ports.c.id == security_group_ports.c.port_id))
    .where(_PLUGGED)
)
_REMOTE_GROUPS_HERE = select(security_group_rules.c.remote_group_id).where(
    security_group_rules.c.security_group_id.in_(_GROUPS_HERE),
    security_group_rules.c.remote_group_id.is_not(None),
)
_RULES = (
    select(
        security_group_rules.c.id,
        security_group_rules.c.security_group_id,
        security_group_rules.c.direction,
        security_group_rules.c.ethertype,
        security_group_rules.c.protocol,
        security_group_rules.c.port_range_min,
        security_group_rules.c.port_range_max,
        security_group_rules.c.normalized_cidr,
        security_group_rules.c.remote_group_id,
        security_group_rules.c.remote_address_group_id,
    )
    .where(security_group_rules.c.security_group_id.in_(_GROUPS_HERE))
    .order_by(security_group_rules.c.security_group_id, security_group_rules.c.id)
)
_GROUPS = (
    select(
        security_groups.c.id,
        security_groups.c.stateful,
        security_groups.c.id.in_(_GROUPS_HERE).label("has_rules"),
        security_groups.c.id.in_(_REMOTE_GROUPS_HERE).label("has_members"),
    )
    .where(or_(security_groups.c.id.in_(_GROUPS_HERE), security_groups.c.id.in_(_REMOTE_GROUPS_HERE)))
    .order_by(security_groups.c.id)
)
_ADDRESS_GROUPS_HERE = select(security_group_rules.c.remote_address_group_id).where(
    security_group_rules.c.security_group_id.in_(_GROUPS_HERE),
    security_group_rules.c.remote_address_group_id.is_not(None),
)
_PREFIXES = (
    select(address_groups.c.id, address_group_addresses.c.address)
    .select_from(
        address_groups.outerjoin(
            address_group_addresses, address_group_addresses.c.address_group_id == address_groups.c.id
        )
    )
    .where(address_groups.c.id.in_(_ADDRESS_GROUPS_HERE))
    .order_by(address_groups.c.id, address_group_addresses.c.address)
)


def _members(*, narrowed: bool) -> CompoundSelect[Any]:
    """Address by address, since a thousand texts are read sooner than a thousand lists; only ports with
    address pairs, which are few, bring a list."""
    group, port = security_group_ports.c.security_group_id, security_group_ports.c.port_id
    of_pairs = (
        select(group, null().label("ip_address"), ports.c.allowed_address_pairs.label("pairs"))
        .select_from(security_group_ports.join(ports, ports.c.id == security_group_ports.c.port_id))
        .where(group.in_(_REMOTE_GROUPS_HERE), type_coerce(ports.c.allowed_address_pairs, Text) != "[]")
    )
    own = (
        select(group, ip_allocations.c.ip_address, null())
        .select_from(security_group_ports.join(ip_allocations, ip_allocations.c.port_id == port))
        .where(group.in_(_REMOTE_GROUPS_HERE))
    )
    if narrowed:
        of_pairs, own = of_pairs.where(group.in_(_WANTED)), own.where(group.in_(_WANTED))
    return union_all(of_pairs, own)


_Statements = tuple[Select[Any] | CompoundSelect[Any], Select[Any] | CompoundSelect[Any]]
"""For everything, and for some."""
_SOME_RULES: _Statements = (_RULES, _RULES.where(security_group_rules.c.security_group_id.in_(_WANTED)))
_SOME_MEMBERS: _Statements = (_members(narrowed=False), _members(narrowed=True))
_SOME_GROUPS: _Statements = (_GROUPS, _GROUPS.where(security_groups.c.id.in_(_WANTED)))
_SOME_PREFIXES: _Statements = (_PREFIXES, _PREFIXES.where(address_groups.c.id.in_(_WANTED)))


def _read(
    tx: Tx, statements: _Statements, here: Mapping[str, Any], wanted: tuple[str, ...] | None
) -> list[Row[Any]]:
    whole, some = statements
    return tx.rows(whole, here) if wanted is None else tx.rows(some, {**here, "wanted": wanted})


def groups_of_host(
    tx: Tx, here: Mapping[str, Any], wanted: tuple[str, ...] | None
) -> tuple[SecurityGroupDetails, ...]:
    """Read the groups of ports here with their rules, and the members of those that these rules refer to."""
    rules: dict[str, list[SecurityRule]] = {}
    for row in _read(tx, _SOME_RULES, here, wanted):
        rules.setdefault(row.security_group_id, []).append(_rule(row))
    members = members_among(tx, here, wanted)
    # A group without a rule, and one without a member, must be said as well.
    return tuple(
        SecurityGroupDetails(
            security_group_id=row.id,
            rules=tuple(rules.get(row.id, ())),
            member_ips=tuple(sorted(members.get(row.id, ()))),
            stateful=row.stateful,
            has_rules=bool(row.has_rules),
            has_members=bool(row.has_members),
        )
        for row in _read(tx, _SOME_GROUPS, here, wanted)
    )


def members_among(tx: Tx, here: Mapping[str, Any], wanted: tuple[str, ...] | None) -> dict[str, set[str]]:
    """Read by what ports are members of groups that rules here name; a group without any is left out."""
    members: dict[str, set[str]] = {}
    for row in _read(tx, _SOME_MEMBERS, here, wanted):
        group_id, address, pairs = tuple(row)
        if group_id not in members:
            members[group_id] = set()
        if pairs is None:
            members[group_id].add(address)
        else:
            members[group_id].update(pair["ip_address"] for pair in pairs)
    return members


def groups_served(tx: Tx, here: Mapping[str, Any], wanted: tuple[str, ...]) -> list[Row[Any]]:
    """Those of the groups that the host serves: ``id``, ``has_rules``, ``has_members``."""
    return _read(tx, _SOME_GROUPS, here, wanted)


def address_groups_of_host(
    tx: Tx, here: Mapping[str, Any], wanted: tuple[str, ...] | None
) -> tuple[AddressGroupDetails, ...]:
    """Read the address groups that rules of ports here refer to, empty ones among them."""
    found: dict[str, list[str]] = {}
    for row in _read(tx, _SOME_PREFIXES, here, wanted):
        found.setdefault(row.id, []).extend([row.address] if row.address is not None else [])
    return tuple(
        AddressGroupDetails(address_group_id=group, addresses=tuple(addresses))
        for group, addresses in found.items()
    )


def _rule(row: Row[Any]) -> SecurityRule:
    return SecurityRule(
        rule_id=row.id,
        direction=row.direction,
        ethertype=row.ethertype,
        protocol=row.protocol,
        port_range_min=row.port_range_min,
        port_range_max=row.port_range_max,
        remote_ip_prefix=row.normalized_cidr,
        remote_group_id=row.remote_group_id,
        remote_address_group_id=row.remote_address_group_id,
    )
