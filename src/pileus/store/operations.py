"""Operations: long verbs (boot, reboot, migrate) as rows that survive whoever works on them.

An operation has a ``step`` (where the work stands) and an owner until a deadline. Its owner moves it from
step to step by compare-and-swap; when the deadline passes anybody may take it, and resumes or undoes it.
Whoever has lost an operation learns it from the False of the next move and stops.

    PENDING --take--> RUNNING --> DONE
                      |  ^  |
                      v  |  +---> UNDOING --> FAILED
                     WAITING

A WAITING operation has no owner: whoever has what it waits for moves it on, and when its deadline passes
anybody may take it, to find that it has waited too long. What the steps are is in ``flow/chain.py``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Column, Row, String, Table, bindparam, case, or_, select, update

from pileus.store.schema import Id, JsonText, LongText, Moment, Name, metadata

if TYPE_CHECKING:
    from pileus.store.tx import Tx

PENDING = "pending"
RUNNING = "running"
WAITING = "waiting"
UNDOING = "undoing"
DONE = "done"
FAILED = "failed"

UNFINISHED = (PENDING, RUNNING, WAITING, UNDOING)

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
_IS_UNFINISHED = _c.state.in_(UNFINISHED)
_OF_RESOURCE = (
    select(operations).where(_c.resource_id == bindparam("of"), _IS_UNFINISHED).order_by(_c.created_at, _c.id)
)
_ALL_OF = (
    select(operations)
    .where(
        _c.resource_id.in_(bindparam("resources", expanding=True)),
        _c.kind.in_(bindparam("kinds", expanding=True)),
    )
    .order_by(_c.created_at.desc(), _c.id)
    .limit(bindparam("count"))
)
_CLAIMABLE = (
    select(_c.id)
    .where(
        _c.kind.in_(bindparam("kinds", expanding=True)),
        _IS_UNFINISHED,
        or_(_c.deadline.is_(None), _c.deadline <= bindparam("now")),
    )
    .order_by(_c.created_at, _c.id)
    .limit(bindparam("count"))
)
_WAITING = (
    select(operations)
    .where(
        _c.kind.in_(bindparam("kinds", expanding=True)),
        _c.state == WAITING,
        _c.owner.is_(None),
    )
    .order_by(_c.created_at, _c.id)
    .limit(bindparam("count"))
)
_TAKE = (
    update(operations)
    .where(
        _c.id == bindparam("operation_id"),
        _IS_UNFINISHED,
        or_(
            _c.owner.is_(None) & (_c.state != WAITING),
            _c.owner == bindparam("taker"),
            _c.deadline <= bindparam("now"),
        ),
    )
    .values(
        state=case((_c.state == PENDING, RUNNING), else_=_c.state),
        owner=bindparam("taker"),
        deadline=bindparam("until"),
        updated_at=bindparam("now"),
    )
)
_MOVE = (
    update(operations)
    .where(
        _c.id == bindparam("operation_id"),
        _c.owner.is_not_distinct_from(bindparam("from_owner")),
        _c.state == bindparam("from_state"),
        _c.step == bindparam("from_step"),
    )
    .values(
        state=bindparam("to_state"),
        step=bindparam("to_step"),
        owner=bindparam("to_owner"),
        deadline=bindparam("until"),
        data=bindparam("new_data"),
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
    waits_until: dt.datetime | None = None,
) -> Operation:
    """Write down that something is to be done; nobody owns it yet. Raises Duplicate for a known id.

    ``waits_until``: its first step waits for somebody else until then.
    """
    return operations_create(
        tx,
        {operation_id: resource_id},
        kind=kind,
        step=step,
        now=now,
        data=data,
        project_id=project_id,
        request_id=request_id,
        waits_until=waits_until,
    )[0]


def operations_create(
    tx: Tx,
    resources: Mapping[str, str],
    *,
    kind: str,
    step: str,
    now: dt.datetime,
    data: Any = None,
    project_id: str | None = None,
    request_id: str | None = None,
    waits_until: dt.datetime | None = None,
) -> list[Operation]:
    """Write down the same for several resources, by the operations' ids."""
    several = [
        Operation(
            id=operation_id,
            kind=kind,
            resource_id=resource_id,
            project_id=project_id,
            request_id=request_id,
            state=PENDING if waits_until is None else WAITING,
            step=step,
            owner=None,
            deadline=waits_until,
            data=data,
            error=None,
            created_at=now,
            updated_at=now,
        )
        for operation_id, resource_id in resources.items()
    ]
    tx.insert(operations, [msgspec.structs.asdict(one) for one in several])
    return several


def operation_get(tx: Tx, operation_id: str) -> Operation | None:
    """One operation, or None."""
    row = tx.first(_GET, {"operation_id": operation_id})
    return None if row is None else _operation(row)


def operation_list_of(tx: Tx, resource_id: str) -> list[Operation]:
    """List the operations on one resource that have not ended."""
    return [_operation(row) for row in tx.rows(_OF_RESOURCE, {"of": resource_id})]


def operation_list_all(
    tx: Tx, resource_ids: Collection[str], kinds: Collection[str], limit: int = 100
) -> list[Operation]:
    """The newest operations of some kinds on resources, finished ones too; oldest first."""
    values = {"resources": sorted(resource_ids), "kinds": sorted(kinds), "count": limit}
    return [_operation(row) for row in reversed(tx.rows(_ALL_OF, values))]


def operation_list_claimable(tx: Tx, kinds: Collection[str], now: dt.datetime, limit: int = 200) -> list[str]:
    """Ids of unfinished operations that nobody took, whose owner let the deadline pass, or that have waited
    too long; oldest first."""
    return [row.id for row in tx.rows(_CLAIMABLE, {"kinds": sorted(kinds), "now": now, "count": limit})]


def operation_list_waiting(tx: Tx, kinds: Collection[str], limit: int = 1000) -> list[Operation]:
    """Operations that wait for somebody else, oldest first."""
    return [_operation(row) for row in tx.rows(_WAITING, {"kinds": sorted(kinds), "count": limit})]


def operation_take(
    tx: Tx, operation_id: str, owner: str, deadline: dt.datetime, now: dt.datetime
) -> Operation | None:
    """Become (or stay) its owner until ``deadline``; None when another has it, it is finished, or it waits
    and may go on waiting."""
    values = {"operation_id": operation_id, "taker": owner, "until": deadline, "now": now}
    if not tx.execute(_TAKE, values).rowcount:
        return None
    return operation_get(tx, operation_id)


def operation_move(tx: Tx, before: Operation, after: Operation) -> bool:
    """Make it ``after``; False where its owner, state or step are not those of ``before`` any more."""
    values = {
        "operation_id": before.id,
        "from_owner": before.owner,
        "from_state": before.state,
        "from_step": before.step,
        "to_state": after.state,
        "to_step": after.step,
        "to_owner": after.owner,
        "until": after.deadline,
        "new_data": after.data,
        "reason": after.error,
        "now": after.updated_at,
    }
    return tx.execute(_MOVE, values).rowcount > 0


def operation_go_on(
    tx: Tx, operation_ids: Collection[str], *, from_step: str, to_step: str | None, now: dt.datetime
) -> int:
    """End their waiting at ``from_step``: they are ready for the next step, or DONE where there is none.

    Returns how many of them still waited; one statement.
    """
    if not operation_ids:
        return 0
    values: dict[str, Any] = {"owner": None, "deadline": None, "updated_at": now}
    values |= {"state": DONE} if to_step is None else {"state": PENDING, "step": to_step}
    statement = (
        update(operations)
        .where(_c.id.in_(sorted(operation_ids)), _c.state == WAITING, _c.step == from_step)
        .values(**values)
    )
    return tx.execute(statement).rowcount


def operation_end(
    tx: Tx,
    state: str,
    now: dt.datetime,
    *,
    ids: Collection[str] | None = None,
    resource_ids: Collection[str] | None = None,
    kinds: Collection[str] | None = None,
    but: Collection[str] = (),
    error: str | None = None,
) -> None:
    """End unfinished operations as DONE or FAILED, whoever has them: those of ``ids``, or those of
    ``resource_ids`` (of some ``kinds``, or of all ``but`` some); one statement, and none for nothing."""
    if not (ids or resource_ids):
        return
    where = [_IS_UNFINISHED]
    if ids is not None:
        where.append(_c.id.in_(sorted(ids)))
    if resource_ids is not None:
        where.append(_c.resource_id.in_(sorted(resource_ids)))
    if kinds is not None:
        where.append(_c.kind.in_(sorted(kinds)))
    if but:
        where.append(_c.kind.not_in(sorted(but)))
    values = {"state": state, "owner": None, "deadline": None, "error": error, "updated_at": now}
    tx.execute(update(operations).where(*where).values(**values))
