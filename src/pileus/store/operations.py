"""Operations: one-shot verbs (reboot, snapshot, migrate) as rows that survive whoever works on them.

An operation has a ``step`` (where the work stands) and an owner until a deadline. Its owner moves it from
step to step by compare-and-swap; when the deadline passes anybody may take it, and resumes or undoes it.
Whoever has lost an operation learns it from the False of the next call and stops.

    PENDING --take--> RUNNING --finish--> DONE or FAILED
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Column, Row, String, Table, bindparam, or_, select, update

from pileus.store.schema import Id, JsonText, LongText, Moment, Name, metadata

if TYPE_CHECKING:
    from pileus.store.tx import Tx

PENDING = "pending"
RUNNING = "running"
DONE = "done"
FAILED = "failed"

operations = Table(
    "operations",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", String(64), nullable=False),
    Column("resource_id", Name, nullable=False, index=True),
    Column("project_id", Id),
    Column("request_id", String(64)),
    Column("state", String(16), nullable=False),
    Column("step", String(64), nullable=False),
    Column("owner", Name),
    Column("deadline", Moment),
    Column("data", JsonText),
    Column("error", LongText),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
)


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """A row of operations. ``data`` is what steps need to know of each other, ``error`` why it failed."""

    id: str
    kind: str
    resource_id: str
    project_id: str | None
    request_id: str | None
    state: str
    step: str
    owner: str | None
    deadline: dt.datetime | None
    data: Any
    error: str | None
    created_at: dt.datetime
    updated_at: dt.datetime


_c = operations.c
_GET = select(operations).where(_c.id == bindparam("operation_id"))
_UNFINISHED = _c.state.in_((PENDING, RUNNING))
_OF_RESOURCE = (
    select(operations).where(_c.resource_id == bindparam("of"), _UNFINISHED).order_by(_c.created_at, _c.id)
)
_ABANDONED = (
    select(operations)
    .where(_UNFINISHED, or_(_c.deadline.is_(None), _c.deadline <= bindparam("now")))
    .order_by(_c.created_at, _c.id)
    .limit(bindparam("count"))
)
_TAKE = (
    update(operations)
    .where(
        _c.id == bindparam("operation_id"),
        _UNFINISHED,
        or_(_c.owner.is_(None), _c.owner == bindparam("taker"), _c.deadline <= bindparam("now")),
    )
    .values(state=RUNNING, owner=bindparam("taker"), deadline=bindparam("until"), updated_at=bindparam("now"))
)
_HELD = (_c.id == bindparam("operation_id"), _c.state == RUNNING, _c.owner == bindparam("holder"))
_ADVANCE = (
    update(operations)
    .where(*_HELD, _c.step == bindparam("from_step"))
    .values(
        step=bindparam("to_step"),
        data=bindparam("new_data"),
        deadline=bindparam("until"),
        updated_at=bindparam("now"),
    )
)
_FINISH = (
    update(operations)
    .where(*_HELD)
    .values(
        state=bindparam("end"),
        owner=None,
        deadline=None,
        error=bindparam("reason"),
        updated_at=bindparam("now"),
    )
)


def _operation(row: Row[Any]) -> Operation:
    return Operation(**row._mapping)


def operation_create(
    tx: Tx,
    *,
    operation_id: str,
    kind: str,
    resource_id: str,
    step: str,
    now: dt.datetime,
    data: Any = None,
    project_id: str | None = None,
    request_id: str | None = None,
) -> Operation:
    """Write down that something is to be done; nobody owns it yet. Raises Duplicate for a known id."""
    operation = Operation(
        id=operation_id,
        kind=kind,
        resource_id=resource_id,
        project_id=project_id,
        request_id=request_id,
        state=PENDING,
        step=step,
        owner=None,
        deadline=None,
        data=data,
        error=None,
        created_at=now,
        updated_at=now,
    )
    tx.insert(operations, [msgspec.structs.asdict(operation)])
    return operation


def operation_get(tx: Tx, operation_id: str) -> Operation | None:
    """One operation, or None."""
    row = tx.first(_GET, {"operation_id": operation_id})
    return None if row is None else _operation(row)


def operation_list_of(tx: Tx, resource_id: str) -> list[Operation]:
    """What is still to be done, or being done, with one resource."""
    return [_operation(row) for row in tx.rows(_OF_RESOURCE, {"of": resource_id})]


def operation_list_abandoned(tx: Tx, now: dt.datetime, limit: int = 100) -> list[Operation]:
    """Unfinished operations that nobody took or whose owner let the deadline pass, oldest first."""
    return [_operation(row) for row in tx.rows(_ABANDONED, {"now": now, "count": limit})]


def operation_take(
    tx: Tx, operation_id: str, owner: str, deadline: dt.datetime, now: dt.datetime
) -> Operation | None:
    """Become (or stay) its owner until ``deadline``; None when another has it or it is finished."""
    values = {"operation_id": operation_id, "taker": owner, "until": deadline, "now": now}
    if not tx.execute(_TAKE, values).rowcount:
        return None
    return operation_get(tx, operation_id)


def operation_advance(
    tx: Tx,
    operation_id: str,
    owner: str,
    *,
    from_step: str,
    to_step: str,
    data: Any,
    deadline: dt.datetime,
    now: dt.datetime,
) -> bool:
    """Move on to the next step, with its data and a new deadline; False when it's no longer this owner's
    or not at ``from_step`` any more."""
    values = {
        "operation_id": operation_id,
        "holder": owner,
        "from_step": from_step,
        "to_step": to_step,
        "new_data": data,
        "until": deadline,
        "now": now,
    }
    return tx.execute(_ADVANCE, values).rowcount > 0


def operation_finish(
    tx: Tx, operation_id: str, owner: str, state: str, now: dt.datetime, error: str | None = None
) -> bool:
    """End it as DONE or FAILED (with a reason); False when it is no longer this owner's."""
    values = {"operation_id": operation_id, "holder": owner, "end": state, "reason": error, "now": now}
    return tx.execute(_FINISH, values).rowcount > 0
