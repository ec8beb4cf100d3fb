"""Events: what changed, written in the transaction that changed it, and read in one order by everyone.

An event gets its *position* when it is known to be committed: on SQLite in the same commit (there is one
writer, so ids are in commit order), elsewhere right after it, by whoever holds the row ``*`` below for one
batch (a lock and not a lease: it goes when its holder dies, and any server may place events right after its
own commits). Positions have no gaps, and whoever sees one sees all before it.

``scope_positions`` keeps the newest position of each scope, until the event that had it is trimmed. Three
of its rows have names that no scope has: ``*`` is the newest position of all, ``*published`` the one up to
which subscribers of some server have been told, so that a start knows what a crash left untold, and
``*trimmed`` the newest that a scope may have had whose row is gone (``store.trimming``).
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Select, bindparam, delete, func, or_, select, text

from pileus.store.errors import Duplicate
from pileus.store.event import (
    NEWEST,
    PUBLISHED,
    TRIMMED,
    Event,
    EventRow,
    event_of,
    events,
    scope_positions,
)
from pileus.store.tx import Tx
from pileus.store.upsert import upsert

_NEWEST_OF_SCOPES = select(func.max(scope_positions.c.position)).where(
    scope_positions.c.scope.in_(bindparam("scopes", expanding=True))
)
_SINCE = (
    select(events)
    .where(events.c.position > bindparam("after"))
    .order_by(events.c.position)
    .limit(bindparam("count"))
)
_UNPOSITIONED = (
    select(events).where(events.c.position.is_(None)).order_by(events.c.id).limit(bindparam("count"))
)
_OLDEST = (
    select(events.c.position, events.c.at)
    .where(events.c.position.is_not(None))
    .order_by(events.c.position)
    .limit(bindparam("count"))
)
_HOLD_NEWEST = select(scope_positions.c.position).where(scope_positions.c.scope == NEWEST).with_for_update()
_TRIM = delete(events).where(events.c.position <= bindparam("up_to"))


def newest_position(tx: Tx, scopes: Iterable[str] = (NEWEST,)) -> int:
    """The newest position of any of these scopes; without scopes of all events. 0 when there is none.

    At least that up to which positions were trimmed, since a scope without a row may have had that.
    """
    return tx.scalar(_NEWEST_OF_SCOPES, {"scopes": [*scopes, TRIMMED]}) or 0


def scope_positions_max(tx: Tx, scopes: Select[Any] | Sequence[str]) -> int:
    """The same for a list, or for a SELECT of one column that yields scopes (``'network:' || id``)."""
    if isinstance(scopes, Select):
        chosen = select(func.max(scope_positions.c.position)).where(
            or_(scope_positions.c.scope.in_(scopes), scope_positions.c.scope == TRIMMED)
        )
        return tx.scalar(chosen) or 0
    return newest_position(tx, scopes)


def events_since(tx: Tx, position: int, limit: int = 500) -> list[Event]:
    """The events after a position, in order."""
    return [event_of(row) for row in tx.rows(_SINCE, {"after": position, "count": limit})]


def events_write(tx: Tx, rows: Sequence[EventRow], published: int) -> list[Event]:
    """Write events and give them positions at once: only for a single writer (SQLite). Three statements."""
    position = tx.scalar(_HOLD_NEWEST) or 0
    written = []
    for event, row in rows:
        position += 1
        row["position"] = position
        written.append(msgspec.structs.replace(event, position=position))
    tx.insert(events, [row for _, row in rows])
    _advance(tx, written, published)
    return written


def events_position(tx: Tx, published: int, limit: int = 200) -> list[Event]:
    """Give positions to committed events that have none, oldest first; the relay's unit of work.

    A constant number of statements for any number of events. Returns them with their positions.
    """
    position = _newest_held(tx)
    rows = tx.rows(_UNPOSITIONED, {"count": limit})
    if not rows:
        return []
    written = []
    cases = []
    for row in rows:
        position += 1
        written.append(msgspec.structs.replace(event_of(row), position=position))
        cases.append(f"WHEN {row.id:d} THEN {position:d}")
    ids = ",".join(f"{row.id:d}" for row in rows)
    # Integers of our own, inlined: as parameters the text would differ by count and be compiled each time.
    tx.execute(
        text(f"UPDATE events SET position = CASE id {' '.join(cases)} END WHERE id IN ({ids})")  # noqa: S608
    )
    _advance(tx, written, published)
    return written


def _newest_held(tx: Tx) -> int:
    """The newest position, and nobody else gives positions until this transaction ends."""
    position = tx.scalar(_HOLD_NEWEST)
    if position is None:
        with contextlib.suppress(Duplicate), tx.savepoint():
            tx.insert(scope_positions, [{"scope": NEWEST, "position": 0}])
        position = tx.scalar(_HOLD_NEWEST)
    return int(position)


def events_published(tx: Tx, position: int) -> None:
    """Remember that subscribers have been told up to here (done by the way in each batch, and at the end)."""
    tx.execute(upsert(tx.dialect, scope_positions, ("position",)), {"scope": PUBLISHED, "position": position})


def events_trim(tx: Tx, before: dt.datetime, limit: int = 1000) -> int:
    """Delete events older than a moment, at most ``limit``; returns how many."""
    up_to = 0
    for row in tx.rows(_OLDEST, {"count": limit}):
        if row.at >= before:
            break
        up_to = row.position
    return tx.execute(_TRIM, {"up_to": up_to}).rowcount if up_to else 0


def relay_state(tx: Tx) -> tuple[int, int, bool]:
    """The newest position, the published one, and whether some committed events have none yet."""
    known = {row.scope: row.position for row in tx.rows(_RELAY_ROWS)}
    waiting = tx.first(_UNPOSITIONED, {"count": 1}) is not None
    return known.get(NEWEST, 0), known.get(PUBLISHED, 0), waiting


_RELAY_ROWS = select(scope_positions).where(scope_positions.c.scope.in_((NEWEST, PUBLISHED)))


def _advance(tx: Tx, written: Sequence[Event], published: int) -> None:
    newest = {scope: event.position for event in written for scope in event.scopes}
    newest[NEWEST] = written[-1].position
    newest[PUBLISHED] = published
    # In one order for everyone, so that two writers can't hold each other up.
    tx.execute(
        upsert(tx.dialect, scope_positions, ("position",)),
        [{"scope": scope, "position": position} for scope, position in sorted(newest.items())],
    )
