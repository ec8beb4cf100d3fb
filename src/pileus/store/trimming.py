"""Trims what is old: events, the positions of scopes, finished operations, names of locks.

Each kind goes in batches, so that nobody waits long for a trimming writer. A kind that belongs to a service
(its deleted rows) is a unit of the same form, which the composition root hands to the store.

A scope whose newest event is no longer kept needs no position of its own: ``*trimmed`` is the newest position
that went, and every answer about positions is at least that. An agent that was last told of something older
(it was away, or its part of the cloud has been quiet for as long as events are kept) is thereby told to
compare, once; it then knows a newer position. So nothing is missed, whether the thing is gone or only quiet.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import TypeAlias

from sqlalchemy import bindparam, delete, func, select

from pileus.store.event import NEWEST, PUBLISHED, TRIMMED, events, scope_positions
from pileus.store.events import events_trim
from pileus.store.locks import locks
from pileus.store.operations import DONE, FAILED, operations
from pileus.store.tx import Tx
from pileus.store.upsert import upsert

Trim: TypeAlias = Callable[[Tx, dt.datetime], int]
"""``(tx, now)``: delete one batch of what is too old; how many, 0 when there is nothing more."""

BATCH = 1000

_c = scope_positions.c
_OLDEST_KEPT = select(func.min(events.c.position))
_RESERVED = (NEWEST, PUBLISHED, TRIMMED)
_OLD_SCOPES = (
    select(_c.scope)
    .where(_c.scope > bindparam("after"), _c.position <= bindparam("up_to"), _c.scope.not_in(_RESERVED))
    .order_by(_c.scope)
    .limit(BATCH)
)
_FORGET_SCOPES = delete(scope_positions).where(
    _c.scope.in_(bindparam("names", expanding=True)), _c.position <= bindparam("up_to")
)
_FINISHED = (
    select(operations.c.id)
    .where(operations.c.state.in_((DONE, FAILED)), operations.c.updated_at < bindparam("before"))
    .limit(BATCH)
)
_FORGET_OPERATIONS = delete(operations).where(operations.c.id.in_(bindparam("ids", expanding=True)))
_IDLE_LOCKS = select(locks.c.name).order_by(locks.c.name).limit(BATCH).with_for_update(skip_locked=True)
# By name, one by one: over a list MariaDB may look at all rows, and wait for those that are held.
_FORGET_LOCK = delete(locks).where(locks.c.name == bindparam("idle"))


class ScopeTrim:
    """Positions of scopes whose newest event is no longer kept. Walks through them once by name."""

    def __init__(self) -> None:
        self._after = ""

    def __call__(self, tx: Tx, now: dt.datetime) -> int:
        oldest = tx.scalar(_OLDEST_KEPT)
        up_to = (oldest - 1) if oldest is not None else tx.scalar(_NEWEST) or 0
        names = [row.scope for row in tx.rows(_OLD_SCOPES, {"after": self._after, "up_to": up_to})]
        self._after = names[-1] if names else ""
        if not names:
            return 0
        tx.execute(upsert(tx.dialect, scope_positions, ("position",)), {"scope": TRIMMED, "position": up_to})
        tx.execute(_FORGET_SCOPES, {"names": names, "up_to": up_to})
        return len(names)


_NEWEST = select(_c.position).where(_c.scope == NEWEST)


def operations_trim(tx: Tx, before: dt.datetime) -> int:
    """Operations that ended before a moment."""
    ids = [row.id for row in tx.rows(_FINISHED, {"before": before})]
    if ids:
        tx.execute(_FORGET_OPERATIONS, {"ids": ids})
    return len(ids)


def locks_trim(tx: Tx, now: dt.datetime) -> int:
    """Names of locks that nobody holds now: who needs one makes it again."""
    if tx.dialect == "sqlite":
        return 0
    names = [row.name for row in tx.rows(_IDLE_LOCKS)]
    if names:
        tx.execute(_FORGET_LOCK, [{"idle": name} for name in names])
    return 0  # one batch: what is made meanwhile must not keep this going


def own_trims(keep: dt.timedelta) -> list[Trim]:
    """The trims of the store itself, in this order: scopes after the events that they stand for."""
    return [
        lambda tx, now: events_trim(tx, now - keep, BATCH),
        ScopeTrim(),
        lambda tx, now: operations_trim(tx, now - keep),
        locks_trim,
    ]
