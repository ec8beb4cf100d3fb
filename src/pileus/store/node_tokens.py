"""Facts about nodes' tokens: the newest that each host has shown, and from when on they are refused.

The tokens themselves are kept nowhere: they are signed (``pileus.bus.node``).
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import Column, Table, bindparam, select, update

from pileus.store.errors import Duplicate
from pileus.store.event import Event
from pileus.store.schema import Moment, Name, metadata

if TYPE_CHECKING:
    from pileus.store.tx import Tx

REVOKED = "node_tokens:all"
"""The scope of an event that says: look again which tokens are refused."""

node_tokens = Table(
    "node_tokens",
    metadata,
    Column("host", Name, primary_key=True),
    Column("issued_at", Moment),
    Column("ends_at", Moment),
    Column("refused_before", Moment),
)

_KEY = node_tokens.c.host == bindparam("of_host")
_SEEN = update(node_tokens).where(_KEY).values(issued_at=bindparam("issued"), ends_at=bindparam("ends"))
_REFUSE = update(node_tokens).where(_KEY).values(refused_before=bindparam("before"))
_ALL = select(node_tokens).order_by(node_tokens.c.host)


class NodeTokenRow(msgspec.Struct, frozen=True):
    """A row; moments are naive UTC."""

    host: str
    issued_at: dt.datetime | None
    ends_at: dt.datetime | None
    refused_before: dt.datetime | None


def node_tokens_read(tx: Tx) -> list[NodeTokenRow]:
    """All rows, by host."""
    return [NodeTokenRow(row.host, row.issued_at, row.ends_at, row.refused_before) for row in tx.rows(_ALL)]


def node_token_seen(tx: Tx, host: str, issued_at: dt.datetime, ends_at: dt.datetime) -> None:
    """A host has shown a token that is newer than any before."""
    _put(
        tx, _SEEN, host, {"issued": issued_at, "ends": ends_at}, {"issued_at": issued_at, "ends_at": ends_at}
    )


def node_tokens_refuse(tx: Tx, host: str, now: dt.datetime) -> None:
    """Refuse from now on what was issued for a host until now; all servers hear of it."""
    _put(tx, _REFUSE, host, {"before": now}, {"refused_before": now})
    tx.emit(Event(kind="node.token_revoke", resource_id=host, at=now, host=host, scopes=(REVOKED,)))


def _put(tx: Tx, change: object, host: str, values: dict[str, object], columns: dict[str, object]) -> None:
    if tx.execute(change, {"of_host": host, **values}).rowcount:  # type: ignore[arg-type]
        return
    try:
        with tx.savepoint():
            tx.insert(node_tokens, [{"host": host, **columns}])
    except Duplicate:
        tx.execute(change, {"of_host": host, **values})  # type: ignore[arg-type]
