"""The roles that a user or a group has, wherever and by whatever way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import ColumnElement, bindparam, or_, select

from pileus.services.identity.rules.standing import Held
from pileus.services.identity.tables.grants import grants
from pileus.services.identity.tables.groups import group_members
from pileus.services.identity.tables.projects import projects
from pileus.store.tx import Tx

ActorKind = Literal["user", "group"]
TargetKind = Literal["project", "domain", "system"]

SYSTEM_ID = "system"


class Grant(msgspec.Struct, frozen=True):
    """A role of an actor on a target.

    One that is ``inherited`` counts in all projects below its project or domain, those to come among them,
    and not there itself (the API's OS-INHERIT); the same role may be granted both ways.
    """

    actor_kind: ActorKind
    actor_id: str
    target_kind: TargetKind
    target_id: str
    role_id: str = ""
    inherited: bool = False


_GROUPS_OF = select(group_members.c.group_id).where(group_members.c.user_id == bindparam("user_id"))
_HIS = or_(
    (grants.c.actor_kind == "user") & (grants.c.actor_id == bindparam("user_id")),
    (grants.c.actor_kind == "group") & grants.c.actor_id.in_(_GROUPS_OF),
)
_HIS_OR_THEIRS = or_(
    _HIS, (grants.c.actor_kind == "group") & grants.c.actor_id.in_(bindparam("groups", expanding=True))
)
_AT = (
    (grants.c.target_kind == bindparam("target_kind"))
    & (grants.c.target_id == bindparam("target_id"))
    & grants.c.inherited.is_(False)
)
_HIS_ROLES_AT = select(grants.c.role_id).where(_AT, _HIS)
_ROLES_AT = select(grants.c.role_id).where(_AT, _HIS_OR_THEIRS)

_start, _next = projects.alias("start"), projects.alias("next")
_above = (
    select(_start.c.parent_id.label("id"))
    .where(_start.c.id == bindparam("target_id"))
    .cte("above", recursive=True)
)
_above = _above.union(select(_next.c.parent_id).join(_above, _next.c.id == _above.c.id))
_FROM_ABOVE = grants.c.inherited.is_(True) & grants.c.target_id.in_(select(_above.c.id))
_HIS_ROLES_IN_PROJECT = select(grants.c.role_id).where(or_(_AT, _FROM_ABOVE), _HIS)
_ROLES_IN_PROJECT = select(grants.c.role_id).where(or_(_AT, _FROM_ABOVE), _HIS_OR_THEIRS)

_HELD = select(grants.c.role_id, grants.c.target_kind, grants.c.target_id, projects.c.domain_id).select_from(
    grants.outerjoin(projects, projects.c.id == grants.c.target_id)
)
_ALL_HIS = _HELD.where(_HIS)
_ALL_OF_GROUP = _HELD.where(grants.c.actor_kind == "group", grants.c.actor_id == bindparam("group_id"))
_PROJECT = select(projects.c.id, projects.c.domain_id).where(projects.c.id == bindparam("id"))


def roles_of(
    tx: Tx, user_id: str, target_kind: TargetKind, target_id: str, groups: Sequence[str] = ()
) -> set[str]:
    """The ids of the roles that a user has there, himself or by a group, granted there or inherited from
    above; implied ones are not among them. ``groups`` are more that he is in for the time being. One
    statement."""
    found: dict[str, Any] = {"user_id": user_id, "target_kind": target_kind, "target_id": target_id}
    statement = _HIS_ROLES_IN_PROJECT if target_kind == "project" else _HIS_ROLES_AT
    if groups:
        found["groups"] = list(groups)
        statement = _ROLES_IN_PROJECT if target_kind == "project" else _ROLES_AT
    return {row.role_id for row in tx.rows(statement, found)}


def roles_held(tx: Tx, actor_kind: ActorKind, actor_id: str) -> list[Held]:
    """All that is granted to a group, or to a user and the groups that he is in, wherever: one statement."""
    statement = _ALL_HIS if actor_kind == "user" else _ALL_OF_GROUP
    rows = tx.rows(statement, {"user_id" if actor_kind == "user" else "group_id": actor_id})
    return [Held(row.role_id, _domain(row)) for row in rows]


def domain_of(tx: Tx, grant: Grant) -> str | None:
    """The domain that a grant's target is in, or is; None for the system."""
    if grant.target_kind != "project":
        return None if grant.target_kind == "system" else grant.target_id
    row = tx.first(_PROJECT, {"id": grant.target_id})
    return grant.target_id if row is None or row.domain_id is None else str(row.domain_id)


def _domain(row: Any) -> str | None:
    if row.target_kind == "system":
        return None
    return str(row.domain_id or row.target_id)


def targets_of(
    target_kind: Literal["project", "domain"], user_id: str | None, groups: Sequence[str] = ()
) -> ColumnElement[bool]:
    """The condition that a project or domain is one where a user, himself or by a group, has any role;
    ``groups`` are more that he is in for the time being."""
    mine = select(group_members.c.group_id).where(group_members.c.user_id == user_id)
    his = or_(
        (grants.c.actor_kind == "user") & (grants.c.actor_id == user_id),
        (grants.c.actor_kind == "group") & or_(grants.c.actor_id.in_(mine), grants.c.actor_id.in_(groups))
        if groups
        else (grants.c.actor_kind == "group") & grants.c.actor_id.in_(mine),
    )
    there = select(grants.c.target_id).where(
        grants.c.target_kind == target_kind, grants.c.inherited.is_(False), his
    )
    if target_kind == "domain":
        return projects.c.id.in_(there)
    child, deeper = projects.alias("child"), projects.alias("deeper")
    below = (
        select(child.c.id)
        .join(grants, grants.c.target_id == child.c.parent_id)
        .where(grants.c.inherited.is_(True), his)
        .cte("below", recursive=True)
    )
    below = below.union(select(deeper.c.id).join(below, deeper.c.parent_id == below.c.id))
    return or_(projects.c.id.in_(there), projects.c.id.in_(select(below.c.id)))
