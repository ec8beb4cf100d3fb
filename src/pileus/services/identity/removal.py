"""Deleting what others hang on: a constant number of statements, however much goes with it."""

from __future__ import annotations

from sqlalchemy import BindParameter, bindparam, func, or_, select

from pileus.core.context import Context
from pileus.services.identity.credentials.application import application_credentials_forget_role
from pileus.services.identity.credentials.credential import credentials, credentials_forget
from pileus.services.identity.errors import ForbiddenNotSecurity, GroupNotFound, UserNotFound, ValidationError
from pileus.services.identity.generation import announce_turn
from pileus.services.identity.grants import grants
from pileus.services.identity.groups import groups
from pileus.services.identity.projects import DOMAIN, PROJECT, project_lock, projects
from pileus.services.identity.roles import role_held, roles
from pileus.services.identity.users import users
from pileus.store.tx import Tx

_KEY: BindParameter[str] = bindparam("key")
_CHILDREN = select(func.count()).select_from(projects).where(projects.c.parent_id == _KEY)
_NO_LONGER_DEFAULT = users.update().where(users.c.default_project_id == _KEY).values(default_project_id=None)
_GRANTS_ON = grants.delete().where(grants.c.target_id == _KEY)
_GRANTS_OF = grants.delete().where(grants.c.actor_kind == bindparam("kind"), grants.c.actor_id == _KEY)
_DELETE_USER = users.delete().where(users.c.id == _KEY)
_DELETE_GROUP = groups.delete().where(groups.c.id == _KEY)
_DELETE_ROLE = roles.delete().where(roles.c.id == _KEY)

_IN_DOMAIN = (
    grants.delete().where(
        or_(
            grants.c.target_id == _KEY,
            grants.c.target_id.in_(select(projects.c.id).where(projects.c.domain_id == _KEY)),
            (grants.c.actor_kind == "user")
            & grants.c.actor_id.in_(select(users.c.id).where(users.c.domain_id == _KEY)),
            (grants.c.actor_kind == "group")
            & grants.c.actor_id.in_(select(groups.c.id).where(groups.c.domain_id == _KEY)),
        )
    ),
    credentials.delete().where(
        or_(
            credentials.c.project_id.in_(select(projects.c.id).where(projects.c.domain_id == _KEY)),
            credentials.c.user_id.in_(select(users.c.id).where(users.c.domain_id == _KEY)),
        )
    ),
    users.update()
    .where(users.c.default_project_id.in_(select(projects.c.id).where(projects.c.domain_id == _KEY)))
    .values(default_project_id=None),
    users.delete().where(users.c.domain_id == _KEY),
    groups.delete().where(groups.c.domain_id == _KEY),
    roles.delete().where(roles.c.domain_id == _KEY),
    projects.delete().where(projects.c.domain_id == _KEY),
)


def user_delete(tx: Tx, context: Context, key: str) -> None:
    """Delete a user with his grants, memberships and credentials; his tokens are worth nothing any more."""
    if not tx.execute(_DELETE_USER, {"key": key}).rowcount:
        raise UserNotFound(id=key)
    tx.execute(_GRANTS_OF, {"kind": "user", "key": key})
    credentials_forget(tx, user_id=key)
    announce_turn(tx, context, "user.delete", key)


def group_delete(tx: Tx, context: Context, key: str) -> None:
    """Delete a group with its grants; the members stay, as users."""
    if not tx.execute(_DELETE_GROUP, {"key": key}).rowcount:
        raise GroupNotFound(id=key)
    tx.execute(_GRANTS_OF, {"kind": "group", "key": key})
    announce_turn(tx, context, "group.delete", key)


def role_delete(tx: Tx, context: Context, key: str) -> None:
    """Delete a role, with the grants of it, what it implied and the application credentials that have it."""
    original = role_held(tx, key)
    application_credentials_forget_role(tx, key)
    tx.execute(_DELETE_ROLE, {"key": key})
    announce_turn(tx, context, "role.delete", key, name=original["name"])


def project_delete(tx: Tx, context: Context, key: str) -> None:
    """Delete a project, and the roles in it and credentials for it.

    One that others are below, and an enabled domain, stay.
    """
    original = project_lock(tx, PROJECT, key, None)
    if original["is_domain"]:
        if original["enabled"]:
            raise ValidationError(
                "cannot delete an enabled project acting as a domain. "
                f"Please disable the project {key} first."
            )
        domain_delete(tx, context, key)
        return
    if tx.scalar(_CHILDREN, {"key": key}):
        raise ForbiddenNotSecurity(
            f"Cannot delete the project {key} since it is not a leaf in the hierarchy. Use the cascade "
            "option if you want to delete a whole subtree."
        )
    tx.execute(_GRANTS_ON, {"key": key})
    tx.execute(_NO_LONGER_DEFAULT, {"key": key})
    credentials_forget(tx, project_id=key)
    PROJECT.remove(tx, [original])
    announce_turn(tx, context, "project.delete", key, name=original["name"])


def domain_delete(tx: Tx, context: Context, key: str) -> None:
    """Delete a disabled domain and everything in it."""
    original = project_lock(tx, DOMAIN, key, True)
    if original["enabled"]:
        raise ForbiddenNotSecurity("Cannot delete a domain that is enabled, please disable it first.")
    for statement in _IN_DOMAIN:
        tx.execute(statement, {"key": key})
    DOMAIN.remove(tx, [original])
    announce_turn(tx, context, "domain.delete", key, name=original["name"])
