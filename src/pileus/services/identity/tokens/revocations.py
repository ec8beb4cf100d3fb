"""Tokens that were taken back before their time, by audit id: those that were made from them end as well."""

from __future__ import annotations

from sqlalchemy import Column, String, Table, bindparam, select

from pileus.core.context import Context
from pileus.services.identity.common.generation import announce_token_change
from pileus.services.identity.tokens.payload import Token
from pileus.store.schema import Moment, UserId, metadata
from pileus.store.tx import Tx
from pileus.store.upsert import upsert

revocations = Table(
    "revocations",
    metadata,
    Column("audit_id", String(64), primary_key=True),
    Column("user_id", UserId, nullable=False),
    Column("expires_at", Moment, nullable=False, index=True),
    Column("revoked_at", Moment, nullable=False),
)

_FIND = select(revocations.c.audit_id).where(
    revocations.c.audit_id.in_(bindparam("audit_ids", expanding=True))
)
_FORGET = revocations.delete().where(revocations.c.expires_at < bindparam("now"))


def token_revoke(tx: Tx, context: Context, token: Token) -> None:
    """Take a token back; nothing happens if it is already. What has expired meanwhile is forgotten."""
    tx.execute(_FORGET, {"now": context.now})
    tx.execute(
        upsert(tx.dialect, revocations, ("revoked_at",)),
        {
            "audit_id": token.audit_ids[0],
            "user_id": token.user_id,
            "expires_at": token.expires_at,
            "revoked_at": context.now,
        },
    )
    announce_token_change(tx, context, "token.delete", token.audit_ids[0], user_id=token.user_id)


def token_is_revoked(tx: Tx, token: Token) -> bool:
    """Whether it was taken back, or one from which it was made."""
    return tx.first(_FIND, {"audit_ids": [*token.audit_ids, *token.between]}) is not None
