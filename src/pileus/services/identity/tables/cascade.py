"""Delete what hangs on others: a constant number of statements, however much goes with it.

Whoever calls these moves the generation.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import BindParameter, bindparam, or_, select

from pileus.services.identity.tables.credentials import (
    access_rules,
    application_credential_roles,
    application_credentials,
    credentials,
)
from pileus.services.identity.tables.grants import grants
from pileus.services.identity.tables.groups import groups
from pileus.services.identity.tables.projects import projects
from pileus.services.identity.tables.roles import roles
from pileus.services.identity.tables.users import users
from pileus.store.tx import Tx

_KEYS: BindParameter[Sequence[str]] = bindparam("keys", expanding=True)

_GRANTS_ON = grants.delete().where(grants.c.target_id.in_(_KEYS))
_GRANTS_OF = grants.delete().where(grants.c.actor_kind == bindparam("kind"), grants.c.actor_id.in_(_KEYS))
_NO_LONGER_DEFAULT = (
    users.update().where(users.c.default_project_id.in_(_KEYS)).values(default_project_id=None)
)
_USERS = users.delete().where(users.c.id.in_(_KEYS))
_CREDENTIALS_OF = credentials.delete().where(credentials.c.user_id.in_(_KEYS))
_CREDENTIALS_IN = credentials.delete().where(credentials.c.project_id.in_(_KEYS))
_APPLICATION_CREDENTIALS_OF = application_credentials.delete().where(
    application_credentials.c.user_id.in_(_KEYS)
)
_ACCESS_RULES_OF = access_rules.delete().where(access_rules.c.user_id.in_(_KEYS))
_APPLICATION_CREDENTIALS_IN = application_credentials.delete().where(
    application_credentials.c.user_id == bindparam("user"),
    application_credentials.c.project_id == bindparam("project"),
)
_APPLICATION_CREDENTIALS_WITH = application_credentials.delete().where(
    application_credentials.c.id.in_(
        select(application_credential_roles.c.application_credential_id).where(
            application_credential_roles.c.role_id.in_(_KEYS)
        )
    )
)

_INSIDE = select(projects.c.id).where(projects.c.domain_id.in_(_KEYS))
_USERS_INSIDE = select(users.c.id).where(users.c.domain_id.in_(_KEYS))
_GROUPS_INSIDE = select(groups.c.id).where(groups.c.domain_id.in_(_KEYS))
_OF_DOMAINS = (
    grants.delete().where(
        or_(
            grants.c.target_id.in_(_KEYS),
            grants.c.target_id.in_(_INSIDE),
            (grants.c.actor_kind == "user") & grants.c.actor_id.in_(_USERS_INSIDE),
            (grants.c.actor_kind == "group") & grants.c.actor_id.in_(_GROUPS_INSIDE),
        )
    ),
    credentials.delete().where(
        or_(credentials.c.project_id.in_(_INSIDE), credentials.c.user_id.in_(_USERS_INSIDE))
    ),
    users.update().where(users.c.default_project_id.in_(_INSIDE)).values(default_project_id=None),
    application_credentials.delete().where(application_credentials.c.user_id.in_(_USERS_INSIDE)),
    users.delete().where(users.c.domain_id.in_(_KEYS)),
    groups.delete().where(groups.c.domain_id.in_(_KEYS)),
    roles.delete().where(roles.c.domain_id.in_(_KEYS)),
    projects.delete().where(projects.c.domain_id.in_(_KEYS)),
)


def of_users(tx: Tx, keys: Sequence[str]) -> None:
    """Delete the grants and credentials of users; the database deletes what refers to their rows."""
    tx.execute(_GRANTS_OF, {"kind": "user", "keys": list(keys)})
    tx.execute(_CREDENTIALS_OF, {"keys": list(keys)})


def federated_users_of(tx: Tx, keys: Sequence[str]) -> None:
    """Delete users of an identity provider that is gone, with all that is theirs."""
    application_credentials_of(tx, keys)
    tx.execute(_USERS, {"keys": list(keys)})
    of_users(tx, keys)


def of_groups(tx: Tx, keys: Sequence[str]) -> None:
    """Delete the grants of groups."""
    tx.execute(_GRANTS_OF, {"kind": "group", "keys": list(keys)})


def of_projects(tx: Tx, keys: Sequence[str]) -> None:
    """Delete the grants on projects and the credentials for them; nobody's default project are they now."""
    for statement in (_GRANTS_ON, _NO_LONGER_DEFAULT, _CREDENTIALS_IN):
        tx.execute(statement, {"keys": list(keys)})


def of_domains(tx: Tx, keys: Sequence[str]) -> None:
    """Delete everything in domains."""
    for statement in _OF_DOMAINS:
        tx.execute(statement, {"keys": list(keys)})


def application_credentials_of(tx: Tx, user_ids: Sequence[str]) -> None:
    """Delete all application credentials of users, and then the access rules that no other can have."""
    for statement in (_APPLICATION_CREDENTIALS_OF, _ACCESS_RULES_OF):
        tx.execute(statement, {"keys": list(user_ids)})


def application_credentials_in(tx: Tx, user_id: str, project_id: str) -> None:
    """Delete a user's application credentials in one project."""
    tx.execute(_APPLICATION_CREDENTIALS_IN, {"user": user_id, "project": project_id})


def application_credentials_with(tx: Tx, role_ids: Sequence[str]) -> None:
    """Delete the application credentials that have one of the roles."""
    tx.execute(_APPLICATION_CREDENTIALS_WITH, {"keys": list(role_ids)})
