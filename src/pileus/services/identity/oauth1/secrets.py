"""Secrets of consumers and of their tokens, sealed with the keys of credentials."""

from __future__ import annotations

from calendar import timegm
from secrets import token_hex
from typing import Any

from sqlalchemy import Table, bindparam, select

from pileus.services.identity.tables.oauth1 import access_tokens, consumers, request_tokens
from pileus.services.identity.tokens.keys import TokenKeys
from pileus.services.identity.tokens.ring import blobs_open
from pileus.services.identity.tokens.sealing import blob_seal
from pileus.store import Store
from pileus.store.tx import Tx
from pileus.web.request import Request

BATCH = 500
_TABLES = {table.name: table for table in (consumers, request_tokens, access_tokens)}


def new_secret() -> str:
    """A secret that nobody guesses, in the letters that consumers expect."""
    return token_hex(16)


def secret_seal(keys: TokenKeys, request: Request, secret: str) -> str:
    """A secret as its table has it."""
    return blob_seal(keys, secret, timegm(request.context.now.timetuple()))


def secret_open(tx: Tx, keys: TokenKeys, row: Any) -> str:
    """The secret of a row: of one that an earlier server wrote meanwhile as it stands there. Raises
    CredentialEncryptionError."""
    if row.sealed is None:
        return str(row.secret)
    return blobs_open(tx, keys, [row.sealed])[0]


def secrets_seal_batch(tx: Tx, keys: TokenKeys, table_name: str, seconds: int) -> int:
    """Seal a batch of secrets that an earlier version wrote; how many there were."""
    table: Table = _TABLES[table_name]
    plain = (
        select(table.c.id, table.c.secret).where(table.c.secret.is_not(None)).limit(BATCH).with_for_update()
    )
    rows = tx.rows(plain)
    if rows:
        change = table.update().where(table.c.id == bindparam("key"))
        sealed = [
            {"key": row.id, "blob": blob_seal(keys, row.secret, seconds), "nothing": None} for row in rows
        ]
        tx.execute(change.values(sealed=bindparam("blob"), secret=bindparam("nothing")), sealed)
    return len(rows)


async def secrets_seal(store: Store, keys: TokenKeys, seconds: int) -> None:
    """Seal all secrets that an earlier version wrote."""
    for name in _TABLES:
        while await store.write(secrets_seal_batch, keys, name, seconds):
            pass
