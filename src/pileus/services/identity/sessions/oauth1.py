"""OAuth access tokens as log-ins and tokens need them."""

from __future__ import annotations

import datetime as dt

import msgspec
from sqlalchemy import bindparam, select

from pileus.services.identity.tables.oauth1 import access_tokens
from pileus.store.tx import Tx


class AccessToken(msgspec.Struct, frozen=True):
    """The roles of a user in a project that a consumer may have; of its secret only how it is kept."""

    id: str
    secret: str | None
    sealed: str | None
    consumer_id: str
    project_id: str
    user_id: str
    role_ids: frozenset[str]
    expires_at: dt.datetime | None


_FIND = select(access_tokens).where(access_tokens.c.id == bindparam("id"))


def access_token_find(tx: Tx, key: str) -> AccessToken | None:
    """The one with that id: one statement."""
    row = tx.first(_FIND, {"id": key})
    if row is None:
        return None
    return AccessToken(
        row.id,
        row.secret,
        row.sealed,
        row.consumer_id,
        row.project_id,
        row.user_id,
        frozenset(row.role_ids),
        row.expires_at,
    )
