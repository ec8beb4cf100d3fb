"""Application credentials as log-ins and tokens need them."""

from __future__ import annotations

import datetime as dt

import msgspec
from sqlalchemy import bindparam, select

from pileus.core.access_rules import AccessRule
from pileus.services.identity.tables.credentials import (
    access_rules,
    application_credential_access_rules,
    application_credential_roles,
    application_credentials,
)
from pileus.store.tx import Tx


class ApplicationCredential(msgspec.Struct, frozen=True):
    """An application credential with the ids of its roles; ``access_rules`` are the only requests that may
    be made with it, where there are any."""

    id: str
    name: str
    user_id: str
    project_id: str
    secret_hash: str
    expires_at: dt.datetime | None
    unrestricted: bool
    role_ids: frozenset[str]
    access_rules: tuple[tuple[str, AccessRule], ...] = ()
    """With the ids of the rules."""


_FIND = (
    select(
        application_credentials.c.id,
        application_credentials.c.name,
        application_credentials.c.user_id,
        application_credentials.c.project_id,
        application_credentials.c.secret_hash,
        application_credentials.c.expires_at,
        application_credentials.c.unrestricted,
        application_credential_roles.c.role_id,
    )
    .select_from(application_credentials)
    .outerjoin(
        application_credential_roles,
        application_credential_roles.c.application_credential_id == application_credentials.c.id,
    )
)
_FIND_BY_ID = _FIND.where(application_credentials.c.id == bindparam("id"))
_FIND_BY_NAME = _FIND.where(
    application_credentials.c.user_id == bindparam("user_id"),
    application_credentials.c.name == bindparam("name"),
)


_RULES = (
    select(access_rules)
    .join(
        application_credential_access_rules,
        application_credential_access_rules.c.access_rule_id == access_rules.c.id,
    )
    .where(application_credential_access_rules.c.application_credential_id == bindparam("id"))
    .order_by(access_rules.c.service, access_rules.c.path, access_rules.c.method)
)


def application_credential_find(
    tx: Tx, key: str | None = None, *, user_id: str = "", name: str = ""
) -> ApplicationCredential | None:
    """The one with that id, or a user's with that name: two statements."""
    if key is not None:
        rows = tx.rows(_FIND_BY_ID, {"id": key})
    else:
        rows = tx.rows(_FIND_BY_NAME, {"user_id": user_id, "name": name})
    if not rows:
        return None
    role_ids = frozenset(row.role_id for row in rows if row.role_id is not None)
    first = rows[0]
    return ApplicationCredential(
        first.id,
        first.name,
        first.user_id,
        first.project_id,
        first.secret_hash,
        first.expires_at,
        first.unrestricted,
        role_ids,
        tuple(
            (row.id, AccessRule(row.service, row.method, row.path))
            for row in tx.rows(_RULES, {"id": first.id})
        ),
    )
