"""Units of work of grants. Granting what is granted changes nothing."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import bindparam, select

from pileus.core.context import Context
from pileus.core.errors import Forbidden, NotFound
from pileus.services.identity.common.errors import (
    DomainNotFound,
    GroupNotFound,
    ProjectNotFound,
    RoleNotFound,
    UserNotFound,
    ValidationError,
)
from pileus.services.identity.common.generation import announce_token_change
from pileus.services.identity.standing.grants import Grant
from pileus.services.identity.tables.cascade import application_credentials_in
from pileus.services.identity.tables.grants import grants
from pileus.services.identity.tables.groups import groups
from pileus.services.identity.tables.projects import projects
from pileus.services.identity.tables.roles import roles
from pileus.services.identity.tables.users import users
from pileus.store.errors import Duplicate
from pileus.store.tx import Tx


class DomainSpecificRoleMismatch(Forbidden):
    """The role is of another domain than the project (403)."""

    message = "Project {project_id} must be in the same domain as the role {role_id} being assigned."


class RoleAssignmentNotFound(NotFound):
    """There is no such grant (404)."""

    message = (
        "Could not find role assignment with role: {role_id}, user or group: {actor_id}, "
        "project, domain, or system: {target_id}."
    )


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
_ROLE = select(roles.c.id, roles.c.name, roles.c.domain_id).where(roles.c.id == bindparam("id"))
_USER = select(users.c.id, users.c.domain_id).where(users.c.id == bindparam("id"))
_GROUP = select(groups.c.id, groups.c.domain_id).where(groups.c.id == bindparam("id"))
_PROJECT = select(projects.c.id, projects.c.domain_id).where(projects.c.id == bindparam("id"))
_DOMAIN = select(projects.c.id).where(projects.c.id == bindparam("id"), projects.c.is_domain.is_(True))


def grant_targets(tx: Tx, grant: Grant, *, actor_may_be_gone: bool = False) -> dict[str, Any]:
    """The parts that policy rules name of a grant. Raises NotFound for a part of it that is missing."""
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
    announce_token_change(tx, context, "grant.create", grant.actor_id, **row)


def grant_delete(tx: Tx, context: Context, grant: Grant) -> None:
    """Revoke a role. Raises RoleAssignmentNotFound."""
    row = msgspec.structs.asdict(grant)
    if not tx.execute(_REVOKE, row).rowcount:
        raise _missing(grant)
    if grant.actor_kind == "user" and grant.target_kind == "project" and not grant.inherited:
        application_credentials_in(tx, grant.actor_id, grant.target_id)
    announce_token_change(tx, context, "grant.delete", grant.actor_id, **row)


def grant_check(tx: Tx, grant: Grant) -> None:
    """Raise RoleAssignmentNotFound unless the grant exists."""
    if tx.first(_EXISTS, msgspec.structs.asdict(grant)) is None:
        raise _missing(grant)


def grant_roles(tx: Tx, grant: Grant) -> list[str]:
    """The ids of the roles granted directly to this actor on this target."""
    return [row.role_id for row in tx.rows(_ROLES_AT, msgspec.structs.asdict(grant))]


def _missing(grant: Grant) -> RoleAssignmentNotFound:
    return RoleAssignmentNotFound(role_id=grant.role_id, actor_id=grant.actor_id, target_id=grant.target_id)
