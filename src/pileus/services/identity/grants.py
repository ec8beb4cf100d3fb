"""Grants: a user or a group has a role on a project, on a domain, or on the system.

``target_id`` of the system is ``system``. Granting what is granted changes nothing. A grant that is
``inherited`` counts in all projects below its project or domain, those to come among them, and not
there itself (the API's OS-INHERIT); the same role may be granted both ways.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    String,
    Table,
    bindparam,
    false,
    or_,
    select,
)

from pileus.core.context import Context
from pileus.core.errors import Forbidden, NotFound
from pileus.services.identity.credentials.application import application_credentials_forget
from pileus.services.identity.errors import (
    DomainNotFound,
    GroupNotFound,
    ProjectNotFound,
    RoleNotFound,
    UserNotFound,
    ValidationError,
)
from pileus.services.identity.generation import announce_turn
from pileus.services.identity.groups import group_members, groups
from pileus.services.identity.projects import projects
from pileus.services.identity.roles import roles
from pileus.services.identity.rules.standing import Held
from pileus.services.identity.users import users
from pileus.store.errors import Duplicate
from pileus.store.schema import Id, metadata
from pileus.store.tx import Tx

ActorKind = Literal["user", "group"]
TargetKind = Literal["project", "domain", "system"]

SYSTEM_ID = "system"

grants = Table(
    "grants",
    metadata,
    Column("actor_kind", String(8), primary_key=True),
    Column("actor_id", Id, primary_key=True),
    Column("target_kind", String(8), primary_key=True),
    Column("target_id", Id, primary_key=True, index=True),
    Column("role_id", Id, ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("inherited", Boolean, primary_key=True, server_default=false()),
)


class DomainSpecificRoleMismatch(Forbidden):
    """A role of one domain, a project of another (403)."""

    message = "Project {project_id} must be in the same domain as the role {role_id} being assigned."


class RoleAssignmentNotFound(NotFound):
    """There is no such grant (404)."""

    message = (
        "Could not find role assignment with role: {role_id}, user or group: {actor_id}, "
        "project, domain, or system: {target_id}."
    )


class Grant(msgspec.Struct, frozen=True):
    """Who has what where."""

    actor_kind: ActorKind
    actor_id: str
    target_kind: TargetKind
    target_id: str
    role_id: str = ""
    inherited: bool = False


_PLACE = (
    (grants.c.actor_kind == bindparam("actor_kind"))
    & (grants.c.actor_id == bindparam("actor_id"))
    & (grants.c.target_kind == bindparam("target_kind"))
    & (grants.c.target_id == bindparam("target_id"))
    & (grants.c.inherited == bindparam("inherited"))
)
_EXACT = _PLACE & (grants.c.role_id == bindparam("role_id"))
_EXISTS = select(grants.c.role_id).where(_EXACT)
_REVOKE = grants.delete().where(_EXACT)
_ROLES_AT = select(grants.c.role_id).where(_PLACE)
_GROUPS_OF = select(group_members.c.group_id).where(group_members.c.user_id == bindparam("user_id"))
_HIS = or_(
    (grants.c.actor_kind == "user") & (grants.c.actor_id == bindparam("user_id")),
    (grants.c.actor_kind == "group") & grants.c.actor_id.in_(_GROUPS_OF),
)
_AT = (
    (grants.c.target_kind == bindparam("target_kind"))
    & (grants.c.target_id == bindparam("target_id"))
    & grants.c.inherited.is_(False)
)
_HIS_ROLES_AT = select(grants.c.role_id).where(_AT, _HIS)

_start, _next = projects.alias("start"), projects.alias("next")
_above = (
    select(_start.c.parent_id.label("id"))
    .where(_start.c.id == bindparam("target_id"))
    .cte("above", recursive=True)
)
_above = _above.union(select(_next.c.parent_id).join(_above, _next.c.id == _above.c.id))
_FROM_ABOVE = grants.c.inherited.is_(True) & grants.c.target_id.in_(select(_above.c.id))
_HIS_ROLES_IN_PROJECT = select(grants.c.role_id).where(or_(_AT, _FROM_ABOVE), _HIS)

_HELD = select(grants.c.role_id, grants.c.target_kind, grants.c.target_id, projects.c.domain_id).select_from(
    grants.outerjoin(projects, projects.c.id == grants.c.target_id)
)
_ALL_HIS = _HELD.where(_HIS)
_ALL_OF_GROUP = _HELD.where(grants.c.actor_kind == "group", grants.c.actor_id == bindparam("group_id"))

_ROLE = select(roles.c.id, roles.c.name, roles.c.domain_id).where(roles.c.id == bindparam("id"))
_USER = select(users.c.id, users.c.domain_id).where(users.c.id == bindparam("id"))
_GROUP = select(groups.c.id, groups.c.domain_id).where(groups.c.id == bindparam("id"))
_PROJECT = select(projects.c.id, projects.c.domain_id).where(projects.c.id == bindparam("id"))
_DOMAIN = select(projects.c.id).where(projects.c.id == bindparam("id"), projects.c.is_domain.is_(True))


def grant_targets(tx: Tx, grant: Grant, *, actor_may_be_gone: bool = False) -> dict[str, Any]:
    """What policy rules see of a grant. Raises NotFound for whatever part of it is missing."""
    target: dict[str, Any] = {"target.grant.inherited": grant.inherited}
    if grant.role_id:
        role = tx.first(_ROLE, {"id": grant.role_id})
        if role is None:
            raise RoleNotFound(id=grant.role_id)
        target |= {
            "target.role.id": role.id,
            "target.role.name": role.name,
            "target.role.domain_id": role.domain_id,
        }
    is_user = grant.actor_kind == "user"
    actor = tx.first(_USER if is_user else _GROUP, {"id": grant.actor_id})
    if actor is not None:
        target |= {
            f"target.{grant.actor_kind}.id": actor.id,
            f"target.{grant.actor_kind}.domain_id": actor.domain_id,
        }
    elif not actor_may_be_gone:
        raise (UserNotFound if is_user else GroupNotFound)(id=grant.actor_id)
    if grant.target_kind == "project":
        project = tx.first(_PROJECT, {"id": grant.target_id})
        if project is None:
            raise ProjectNotFound(id=grant.target_id)
        target |= {"target.project.id": project.id, "target.project.domain_id": project.domain_id}
    elif grant.target_kind == "domain":
        if tx.first(_DOMAIN, {"id": grant.target_id}) is None:
            raise DomainNotFound(id=grant.target_id)
        target["target.domain.id"] = grant.target_id
    return target


def grant_create(tx: Tx, context: Context, grant: Grant) -> None:
    """Grant a role. Raises NotFound for what is missing, and refuses roles of another domain."""
    target = grant_targets(tx, grant)
    role_domain = target["target.role.domain_id"]
    if role_domain is not None:
        if grant.target_kind == "system":
            raise ValidationError(
                f"Role {grant.role_id} is a domain-specific role. Unable to use a domain-specific role in a "
                "system assignment."
            )
        if grant.target_kind == "project" and target["target.project.domain_id"] != role_domain:
            raise DomainSpecificRoleMismatch(project_id=grant.target_id, role_id=grant.role_id)
    row = msgspec.structs.asdict(grant)
    if tx.first(_EXISTS, row) is not None:
        return
    try:
        with tx.savepoint():
            tx.insert(grants, [row])
    except Duplicate:
        return
    announce_turn(tx, context, "grant.create", grant.actor_id, **row)


def grant_delete(tx: Tx, context: Context, grant: Grant) -> None:
    """Take a role back. Raises RoleAssignmentNotFound."""
    row = msgspec.structs.asdict(grant)
    if not tx.execute(_REVOKE, row).rowcount:
        raise _missing(grant)
    if grant.actor_kind == "user" and grant.target_kind == "project" and not grant.inherited:
        application_credentials_forget(tx, grant.actor_id, grant.target_id)
    announce_turn(tx, context, "grant.delete", grant.actor_id, **row)


def grant_check(tx: Tx, grant: Grant) -> None:
    """Raise RoleAssignmentNotFound unless the grant exists."""
    if tx.first(_EXISTS, msgspec.structs.asdict(grant)) is None:
        raise _missing(grant)


def grant_roles(tx: Tx, grant: Grant) -> list[str]:
    """The ids of the roles granted directly to this actor on this target."""
    return [row.role_id for row in tx.rows(_ROLES_AT, msgspec.structs.asdict(grant))]


def roles_of(tx: Tx, user_id: str, target_kind: TargetKind, target_id: str) -> set[str]:
    """The ids of the roles that a user has there, himself or by a group, granted there or inherited from
    above; implied ones are not among them. One statement."""
    found = {"user_id": user_id, "target_kind": target_kind, "target_id": target_id}
    statement = _HIS_ROLES_IN_PROJECT if target_kind == "project" else _HIS_ROLES_AT
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


def targets_of(target_kind: Literal["project", "domain"], user_id: str | None) -> ColumnElement[bool]:
    """The condition that a project or domain is one where a user, himself or by a group, has any role."""
    mine = select(group_members.c.group_id).where(group_members.c.user_id == user_id)
    his = or_(
        (grants.c.actor_kind == "user") & (grants.c.actor_id == user_id),
        (grants.c.actor_kind == "group") & grants.c.actor_id.in_(mine),
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


def _missing(grant: Grant) -> RoleAssignmentNotFound:
    return RoleAssignmentNotFound(role_id=grant.role_id, actor_id=grant.actor_id, target_id=grant.target_id)
