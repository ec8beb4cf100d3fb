"""One unit of work on its way through a thread and back to the event loop."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, Protocol

from pileus.store.tx import Tx


class Unit:
    """A function, its arguments, the future of whoever waits, and the waiter's context variables."""

    __slots__ = ("args", "context", "future", "keywords", "work")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, work: Callable[..., Any], args: Any, keywords: Any
    ) -> None:
        self.future: asyncio.Future[Any] = loop.create_future()
        self.context = contextvars.copy_context()
        self.work = work
        self.args = args
        self.keywords = keywords

    @property
    def is_abandoned(self) -> bool:
        """The waiter was cancelled. Read by threads just before they run the unit: later it's too late."""
        return self.future.cancelled()

    def run(self, tx: Tx) -> Any:
        """Call the function in the waiter's context (so that log lines carry the request's id)."""
        return self.context.run(self.work, tx, *self.args, **self.keywords)


class Tally(Protocol):
    """Counts the statements of all units that somebody asked for."""

    statements: int


TALLY: ContextVar[Tally | None] = ContextVar("tally", default=None)
"""Set by who wants to know what his units cost."""


class Answer:
    """The outcome of a unit: result or error, how many statements it took, whether events are to be
    relayed."""

    __slots__ = ("error", "has_events", "result", "statements", "unit")

    def __init__(
        self,
        unit: Unit,
        result: Any = None,
        error: BaseException | None = None,
        statements: int = 0,
        has_events: bool = False,
    ) -> None:
        self.unit = unit
        self.result = result
        self.error = error
        self.statements = statements
        self.has_events = has_events

    def give(self) -> None:
        """Wake the waiter (in the event loop), if it still waits."""
        tally = self.unit.context.get(TALLY)
        if tally is not None:
            tally.statements += self.statements
        future = self.unit.future
        if future.done():
            return
        if self.error is None:
            future.set_result(self.result)
        elif isinstance(self.error, StopIteration):  # a future refuses to carry it
            future.set_exception(RuntimeError("a unit of work raised StopIteration"))
        else:
            future.set_exception(self.error)


def read_answer(unit: Unit, tx: Tx) -> Answer:
    """Run a unit that may only read."""
    result = unit.run(tx)
    if tx.events:
        raise RuntimeError("a unit that only reads has emitted events")
    return Answer(unit, result, statements=tx.statements)


def deliver(
    loop: asyncio.AbstractEventLoop, callback: Callable[..., None], answers: Sequence[Answer]
) -> None:
    """From a thread: have ``callback(answers)`` run in the loop; a loop that has ended wants no answers."""
    try:
        loop.call_soon_threadsafe(callback, answers)
    except RuntimeError:
        if not loop.is_closed():
            raise
