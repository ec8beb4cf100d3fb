"""Long operations as chains of steps, undo beside do: persisted, resumed by whoever comes next, or undone.

    RESIZE = Chain(
        "server.resize",
        (
            Step("claim", claim, undo=release),         # a unit: one transaction with the move to the next
            Step("copy", copy_disk, undo=remove_copy),  # a call: asynchronous, and may be done twice
            Step("finish", wait=Wait(timeout_s=...)),   # goes on when the node has reported
        ),
        on_failed=put_error,
    )

An operation is a row: its kind names the chain, ``step`` says which step is next. Four things move it:

- A *unit* ``do(tx, context, operation, parts)`` runs in one transaction with the compare-and-swap of the
  step, so its effects on the database happen once, whoever dies. It returns new ``data`` for the steps that
  follow, or None where nothing is new.
- A *call* ``async do(context, operation, parts)`` speaks to somebody else. Its end is written afterwards: who
  is killed in between does it again, so a call has to be repeatable. Ids are made in a step before it.
- A *wait* is left alone until ``operation_go_on`` says that what it waits for is there, or ``over`` finds on
  a slow timer that it is (a lost message makes it later, never wrong), or its time is over: then ``late``
  raises the reason, or returns to go on without.
- A Fault that trying again can't mend turns the operation round: from the step that failed back to the
  first, each ``undo`` runs in its turn, also in a transaction with the move. An undo must be harmless where
  there is nothing to undo (its step failed half-way), and when done twice. Then ``on_failed`` says what
  remains to be said, and the operation is FAILED with its reason.

UNAVAILABLE, and whatever nobody expected, leaves the operation where it is for a later try, until the chain's
own time is over. Who loses an operation (it slept longer than its lease) learns it from the swap, and what it
did in that transaction is rolled back.

This file decides and reaches no database: an agent, which has none, uses chains for what it keeps in a
journal. ``chain_runner.py`` carries out what is kept in rows.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import msgspec

from pileus.core.context import Context, system_context
from pileus.core.errors import Fault, Kind

RUNNING, WAITING, UNDOING, DONE, FAILED = "running", "waiting", "undoing", "done", "failed"

_LONGEST_REASON = 2000

Unit = Callable[..., Any]
"""``(tx, context, operation, parts) -> new data | None``"""
Call = Callable[..., Awaitable[Any]]
"""``async (context, operation, parts) -> new data | None``"""


class TimedOut(Fault):
    """A step's time, or the whole operation's, is over."""

    kind = Kind.INTERNAL
    message = "{step} took too long"


class UnknownStep(Fault):
    """The row names a step that this version does not have."""

    message = "There is no step {step} in {kind}."


class Lost(Exception):
    """Somebody else has the operation now. What this transaction did is rolled back."""


@dataclass(frozen=True, slots=True)
class Wait:
    """The condition that a step waits for. ``timeout_s(parts)``: how long; ``over(tx, context, operations,
    parts)``: ids of those for which the waiting is over; ``late``: a unit that raises why it failed, or
    returns to go on. ``at_once``: ``over`` is asked as soon as the waiting begins, too."""

    timeout_s: Callable[[Any], float]
    over: Callable[..., Collection[str]] | None = None
    late: Unit | None = None
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One step: a unit or a call, and what undoes it. Where there is a ``wait`` it comes after ``do``."""

    name: str
    do: Unit | Call | None = None
    undo: Unit | Call | None = None
    wait: Wait | None = None


class Progress(NamedTuple):
    """Where an operation stands: the ``position``-th of ``of`` steps."""

    step: str
    position: int
    of: int


@dataclass(frozen=True, slots=True)
class Chain:
    """The steps of one kind of operations.

    ``on_fault(tx, context, operation, parts)`` is told, before anything is undone, at which step it failed
    and why (``operation.error``); ``on_failed`` comes after everything is undone. Both are units.
    ``timeout_s(parts)``: after which time an operation that still can't be gone on with is undone.
    """

    kind: str
    steps: tuple[Step, ...]
    on_failed: Unit | None = None
    on_fault: Unit | None = None
    timeout_s: Callable[[Any], float] | None = None

    def __post_init__(self) -> None:
        names = [step.name for step in self.steps]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"the steps of {self.kind} need names of their own: {names}")

    @property
    def first(self) -> Step:
        """Where an operation begins."""
        return self.steps[0]

    def step(self, name: str) -> Step:
        """A step by its name; raises UnknownStep."""
        for step in self.steps:
            if step.name == name:
                return step
        raise UnknownStep(step=name, kind=self.kind)

    def after(self, name: str) -> Step | None:
        """The step that follows; None after the last."""
        place = self._place(name) + 1
        return self.steps[place] if place < len(self.steps) else None

    def to_undo(self, name: str) -> Step | None:
        """The nearest step, this one or before it, that has something to undo."""
        return next((step for step in reversed(self.steps[: self._place(name) + 1]) if step.undo), None)

    def undo_next(self, name: str) -> Step | None:
        """The step that is undone after this one."""
        place = self._place(name)
        return self.to_undo(self.steps[place - 1].name) if place else None

    def progress(self, name: str) -> Progress:
        """Place a step among all."""
        return Progress(name, self._place(name) + 1, len(self.steps))

    def _place(self, name: str) -> int:
        places = (place for place, step in enumerate(self.steps) if step.name == name)
        return next(places, len(self.steps) - 1)  # of an unknown step everything is undone


class Rows(Protocol):
    """Where operations are kept: units that know its rows, frozen structs with the fields of a row.

    The module ``pileus.store.operations`` is one; handed in, so that this room needs no database."""

    def operation_list_claimable(
        self, tx: Any, kinds: Collection[str], now: dt.datetime, /
    ) -> Sequence[str]: ...

    def operation_list_waiting(self, tx: Any, kinds: Collection[str], /) -> Sequence[Any]: ...

    def operation_take(
        self, tx: Any, operation_id: str, owner: str, deadline: dt.datetime, now: dt.datetime, /
    ) -> Any: ...

    def operation_move(self, tx: Any, before: Any, after: Any, /) -> bool: ...

    def operation_go_on(
        self, tx: Any, ids: Collection[str], *, from_step: str, to_step: str | None, now: dt.datetime
    ) -> int: ...


# -- decisions: the row as it shall be; pure


def context_of(operation: Any, now: dt.datetime) -> Context:
    """The context of work on a request after its answer: the system, for the request's id and user."""
    return msgspec.structs.replace(
        system_context(now),
        request_id=operation.request_id or "",
        user_id=(operation.data or {}).get("user_id"),
    )


def waits_until(chain: Chain, parts: Any, now: dt.datetime) -> dt.datetime | None:
    """Until when a new operation waits for others, where its first step is nothing but waiting."""
    first = chain.first
    return now + dt.timedelta(seconds=first.wait.timeout_s(parts)) if first.wait and not first.do else None


def advanced(
    chain: Chain, operation: Any, data: Any, parts: Any, now: dt.datetime, until: dt.datetime
) -> Any:
    """The operation after its step was done: waiting, at the next step (held ``until``), or DONE."""
    data = operation.data if data is None else data
    wait = chain.step(operation.step).wait
    if wait is not None and operation.state == RUNNING:
        waits = now + dt.timedelta(seconds=wait.timeout_s(parts))
        return _moved(operation, now, state=WAITING, owner=None, deadline=waits, data=data)
    following = chain.after(operation.step)
    if following is None:
        return _moved(operation, now, state=DONE, owner=None, deadline=None, data=data)
    return _moved(operation, now, state=RUNNING, step=following.name, deadline=until, data=data)


def turned(chain: Chain, operation: Any, reason: str, now: dt.datetime, until: dt.datetime | None) -> Any:
    """The operation after a step failed: at the first step to be undone (held ``until``), or FAILED."""
    data = {**(operation.data or {}), "failed_at": operation.step}
    operation = _moved(operation, now, data=data, error=reason[:_LONGEST_REASON])
    return _undoing(operation, chain.to_undo(operation.step), now, until)


def undone(chain: Chain, operation: Any, data: Any, now: dt.datetime, until: dt.datetime | None) -> Any:
    """The operation after a step was undone: at the next one to be undone, or FAILED."""
    if data is not None:
        operation = _moved(operation, now, data={**data, "failed_at": operation.data["failed_at"]})
    return _undoing(operation, chain.undo_next(operation.step), now, until)


def _undoing(operation: Any, following: Step | None, now: dt.datetime, until: dt.datetime | None) -> Any:
    if following is not None:
        return _moved(operation, now, state=UNDOING, step=following.name, deadline=until)
    failed_at = operation.data["failed_at"]
    return _moved(operation, now, state=FAILED, step=failed_at, owner=None, deadline=None)


def _moved(operation: Any, now: dt.datetime, **changes: Any) -> Any:
    return msgspec.structs.replace(operation, updated_at=now, **changes)


# -- units


def give_up(
    rows: Rows,
    tx: Any,
    context: Context,
    chain: Chain,
    operation: Any,
    reason: str,
    parts: Any,
    until: dt.datetime | None = None,
) -> Any:
    """A unit for whoever has learned that an operation has failed (from a node's report): turn it round.

    Returns the operation: to be undone by a runner, or FAILED. Raises Lost where it has moved meanwhile.
    """
    after = turned(chain, operation, reason, context.now, until)
    if not rows.operation_move(tx, operation, after):
        raise Lost
    if chain.on_fault is not None:
        chain.on_fault(tx, context, _moved(operation, operation.updated_at, error=after.error), parts)
    if after.state == FAILED and chain.on_failed is not None:
        chain.on_failed(tx, context, after, parts)
    return after
