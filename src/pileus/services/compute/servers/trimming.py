"""Rows of servers that were deleted long ago."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import bindparam, delete, select

from pileus.services.compute.servers.tables import servers
from pileus.store.tx import Tx

BATCH = 500

_OLD = select(servers.c.id).where(servers.c.deleted_at < bindparam("before")).limit(BATCH)
_FORGET = delete(servers).where(servers.c.id.in_(bindparam("ids", expanding=True)))


def servers_trim(tx: Tx, before: dt.datetime) -> int:
    """Forget servers that were deleted before a moment, with their actions; one batch, and how many."""
    ids = [row.id for row in tx.rows(_OLD, {"before": before})]
    if ids:
        tx.execute(_FORGET, {"ids": ids})
    return len(ids)
