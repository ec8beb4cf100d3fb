"""The volumes of servers: those that ``server_volumes`` names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import select

from pileus.services.compute.tables.servers import server_volumes
from pileus.store.column_in import column_in
from pileus.store.tx import Tx

CONNECTING, ATTACHING, ATTACHED, DETACHING = "connecting", "attaching", "attached", "detaching"
"""States of a server's volume. Its host is to have it when it is ``attaching`` or ``attached``."""
_c = server_volumes.c


def volumes_of_servers(tx: Tx, server_ids: Sequence[str]) -> dict[str, list[Any]]:
    """The rows of servers' volumes, in the order of their names in the machine."""
    if not server_ids:
        return {}
    found: dict[str, list[Any]] = {}
    statement = select(server_volumes).where(column_in(tx, _c.server_id, list(server_ids)))
    for row in tx.rows(statement.order_by(_c.server_id, _c.target)):
        found.setdefault(row.server_id, []).append(row)
    return found


def volumes_held(tx: Tx, attachment_ids: Iterable[str]) -> dict[str, str]:
    """The servers that have volumes by these attachments, by attachment."""
    ids = sorted(set(attachment_ids))
    if not ids:
        return {}
    rows = tx.rows(select(_c.attachment_id, _c.server_id).where(column_in(tx, _c.attachment_id, ids)))
    return {row.attachment_id: row.server_id for row in rows}
