"""Console tokens: given to who may use a server's console, good for that server and that kind until they end.

A token goes with its server, and with the moment until which it is good; a console that is open stays so.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
from typing import Any

from sqlalchemy import Row, delete, select

from pileus.core.context import Context
from pileus.resource.declaration import Values
from pileus.services.compute.events import step
from pileus.services.compute.rules import states
from pileus.services.compute.tables.consoles import console_tokens
from pileus.services.compute.tables.servers import servers
from pileus.store.tx import Tx

_BYTES = 32
_LONGEST = 128
_MOST = 32
"""Tokens of one server at a time; with one more the oldest goes."""


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def token_create(tx: Tx, context: Context, server: Values, kind: str, lifetime_s: float) -> str:
    """Make a token of a server for a type of console; those that have ended go, and of many the oldest."""
    token = secrets.token_urlsafe(_BYTES)
    c = console_tokens.c
    tx.execute(delete(console_tokens).where(c.ends_at <= context.now))
    newest_first = select(c.hash).where(c.server_id == server["id"]).order_by(c.ends_at.desc(), c.hash)
    if too_old := [row.hash for row in tx.rows(newest_first.offset(_MOST - 1))]:
        tx.execute(delete(console_tokens).where(c.hash.in_(too_old)))
    row = {
        "hash": _hash(token),
        "server_id": server["id"],
        "type": kind,
        "user_id": context.user_id,
        "ends_at": context.now + dt.timedelta(seconds=lifetime_s),
    }
    tx.insert(console_tokens, [row])
    tx.emit(
        step(context, server["id"], server["project_id"], "console given", host=server["host"], detail=kind)
    )
    return token


def token_find(tx: Tx, token: str, now: dt.datetime) -> Row[Any] | None:
    """Whose console a token is for, and where that server is now; None where it is good for nothing."""
    if not token or len(token) > _LONGEST:
        return None
    c, s = console_tokens.c, servers.c
    return tx.first(
        select(c.type, c.user_id, s.id, s.host, s.project_id, s.name)
        .join_from(console_tokens, servers)
        .where(
            c.hash == _hash(token),
            c.ends_at > now,
            s.deleted_at.is_(None),
            s.wanted != states.WANT_GONE,
            s.host.is_not(None),
        )
    )
