"""Carries out chains: takes operations from their rows, does their steps, undoes them where they fail."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import inspect
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from pileus.core import log
from pileus.core.clock import Clock
from pileus.core.context import system_context
from pileus.core.errors import Fault, Kind, Unavailable
from pileus.flow.chain import (
    FAILED,
    RUNNING,
    UNDOING,
    WAITING,
    Call,
    Chain,
    Lost,
    Rows,
    TimedOut,
    advanced,
    context_of,
    give_up,
    undone,
)

_log = log.get("flow.chain")


class Units(Protocol):
    """Runs units of work; ``pileus.store.Store`` is one."""

    async def read(self, work: Callable[..., Any], /, *args: Any) -> Any: ...
    async def write(self, work: Callable[..., Any], /, *args: Any) -> Any: ...


class ChainRunner:
    """Takes operations of its chains and brings them as far as they go; each process may have one.

    ``parts`` is handed to each step; ``owner`` names this runner in rows; a runner that is silent for
    ``lease_s`` has lost what it had; ``at_once``: operations that are worked on together (on SQLite their
    units share commits).
    """

    def __init__(
        self,
        chains: Sequence[Chain],
        store: Units,
        rows: Rows,
        clock: Clock,
        *,
        parts: Any,
        owner: str,
        lease_s: float,
        at_once: int = 8,
    ) -> None:
        self._chains: Mapping[str, Chain] = {chain.kind: chain for chain in chains}
        self._store = store
        self._rows = rows
        self._clock = clock
        self._parts = parts
        self._owner = owner
        self._lease_s = lease_s
        self._taken: dict[str, Any] = {}
        self._at_once = at_once
        self._polled = sorted(
            {chain.kind for chain in chains for step in chain.steps if step.wait and step.wait.over}
        )

    async def work(self, *, everything: bool = True) -> None:
        """Work until nothing is left that could be done now. ``everything``: look also at what waits."""
        if everything and self._polled:
            await self._look_at_waiting()
        kinds = sorted(self._chains)
        while claimable := await self._store.read(
            self._rows.operation_list_claimable, kinds, self._clock.now()
        ):
            worked = await _gather(
                [self._bring(key) for key in claimable[: self._at_once * 4]], self._at_once
            )
            if not any(worked):
                break  # others were quicker, or it can't be done now

    # -- waiting

    async def _look_at_waiting(self) -> None:
        now = self._clock.now()
        found = await self._store.read(self._waited, now)
        for chain, step, ids in found:
            following = chain.after(step)
            await self._store.write(_go_on, self._rows, ids, step, following and following.name, now)

    def _waited(self, tx: Any, now: dt.datetime) -> list[tuple[Chain, str, list[str]]]:
        """Those whose waiting is over, a step at a time."""
        together: defaultdict[tuple[str, str], list[Any]] = defaultdict(list)
        for operation in self._rows.operation_list_waiting(tx, self._polled):
            together[operation.kind, operation.step].append(operation)
        found = []
        for (kind, name), operations in together.items():
            chain = self._chains[kind]
            wait = chain.step(name).wait
            if wait is None or wait.over is None:
                continue
            try:
                ids = list(wait.over(tx, system_context(now), operations, self._parts))
            except Fault:
                raise
            except Exception:
                _log.exception("what a step waits for can't be looked at", operation=kind, step=name)
                continue
            if ids:
                found.append((chain, name, ids))
        return found

    # -- one operation

    async def _bring(self, operation_id: str) -> bool:
        """Take one operation and bring it as far as it goes; False where nothing could be done."""
        try:
            operation = await self._attempt(operation_id, None)
            if operation is None:
                return False
            while operation.owner == self._owner:
                operation = await self._attempt(operation_id, operation)
            return True
        except Lost:
            _log.info("an operation was taken over", operation=operation_id)
            return True
        except Fault as fault:
            # It stays at its step: when the lease ends, this runner or another one tries again.
            _log.warning("an operation waits for a later try", operation=operation_id, error=fault.text)
            return False
        except Exception:
            _log.exception("an operation can't be turned round", operation=operation_id)
            return False
        finally:
            self._taken.pop(operation_id, None)

    async def _attempt(self, operation_id: str, operation: Any) -> Any:
        """One step of an operation that is held; or take it and do its step in one unit (a commit less)."""
        try:
            if operation is not None and (call := self._call_of(operation)) is not None:
                return await self._called(operation, call)
            return await self._store.write(self._unit, operation_id, operation, self._clock.now())
        except Lost:
            raise
        except Fault as fault:
            reason, lasting = fault.text, fault.kind is not Kind.UNAVAILABLE
        except Exception:
            _log.exception("a step failed in a way that nobody expected", operation=operation_id)
            reason, lasting = "An unexpected error occurred.", False
        held = operation or self._taken.get(operation_id)
        if held is None or held.state == UNDOING or not (lasting or self._is_overdue(held)):
            if operation is None:  # the taking was rolled back: hold it, so that the others come first
                await self._hold_once(operation_id)
            raise Unavailable(reason)
        return await self._store.write(self._turn, held, reason, operation is None, self._clock.now())

    def _until(self, now: dt.datetime) -> dt.datetime:
        return now + dt.timedelta(seconds=self._lease_s)

    def _call_of(self, operation: Any) -> Call | None:
        """Return the work of the operation's step outside of a transaction; None where it has none."""
        step = self._chains[operation.kind].step(operation.step)
        work = step.undo if operation.state == UNDOING else step.do if operation.state == RUNNING else None
        return work if inspect.iscoroutinefunction(work) else None

    def _unit(self, tx: Any, operation_id: str, operation: Any, now: dt.datetime) -> Any:
        """Take it where it is not held yet, do (or undo) its step, move on; None where others have it."""
        if operation is None:
            operation = self._rows.operation_take(tx, operation_id, self._owner, self._until(now), now)
            if operation is None:
                return None
            self._taken[operation_id] = operation
            if self._call_of(operation) is not None:
                return operation
        return self._move(tx, operation, self._do(tx, operation, now), now)

    def _do(self, tx: Any, operation: Any, now: dt.datetime) -> Any:
        """Do (or undo) a step that is a unit; new data."""
        step = self._chains[operation.kind].step(operation.step)
        if operation.state == WAITING:
            if step.wait is None or step.wait.late is None:
                raise TimedOut(step=step.name)
            unit: Any = step.wait.late
        else:
            unit = step.undo if operation.state == UNDOING else step.do
        return unit(tx, context_of(operation, now), operation, self._parts) if unit is not None else None

    def _move(self, tx: Any, operation: Any, data: Any, now: dt.datetime) -> Any:
        """Write that the step was done or undone."""
        chain = self._chains[operation.kind]
        if operation.state == UNDOING:
            after = undone(chain, operation, data, now, self._until(now))
            if after.state == FAILED and chain.on_failed is not None:
                chain.on_failed(tx, context_of(after, now), after, self._parts)
        else:
            after = advanced(chain, operation, data, self._parts, now, self._until(now))
            if after.state == WAITING and self._is_over_at_once(tx, chain, after, now):
                after = advanced(
                    chain,
                    msgspec.structs.replace(after, owner=operation.owner),
                    None,
                    self._parts,
                    now,
                    self._until(now),
                )
        if not self._rows.operation_move(tx, operation, after):
            raise Lost
        return after

    def _is_over_at_once(self, tx: Any, chain: Chain, operation: Any, now: dt.datetime) -> bool:
        wait = chain.step(operation.step).wait
        if wait is None or wait.over is None or not wait.at_once:
            return False
        return operation.id in wait.over(tx, context_of(operation, now), [operation], self._parts)

    async def _called(self, operation: Any, call: Call) -> Any:
        """Do (or undo) a step that speaks to others, holding the operation meanwhile; then move on."""
        calling = asyncio.ensure_future(
            call(context_of(operation, self._clock.now()), operation, self._parts)
        )
        holding = asyncio.create_task(self._hold(operation.id))
        try:
            await asyncio.wait([calling, holding], return_when=asyncio.FIRST_COMPLETED)
            if not calling.done():
                raise Lost
            data = calling.result()
        finally:
            calling.cancel()
            holding.cancel()
            await asyncio.wait([calling, holding])
        return await self._store.write(self._move, operation, data, self._clock.now())

    async def _hold(self, operation_id: str) -> None:
        """Renew the lease as long as a call takes; return where somebody else has taken the operation."""
        while True:
            await asyncio.sleep(self._lease_s / 3)
            with contextlib.suppress(Fault):
                if await self._hold_once(operation_id) is None:
                    return

    async def _hold_once(self, operation_id: str) -> Any:
        now = self._clock.now()
        take = self._rows.operation_take
        return await self._store.write(take, operation_id, self._owner, self._until(now), now)

    def _is_overdue(self, operation: Any) -> bool:
        timeout_s = self._chains[operation.kind].timeout_s
        age = self._clock.now() - operation.created_at
        return timeout_s is not None and age.total_seconds() > timeout_s(self._parts)

    def _turn(self, tx: Any, operation: Any, reason: str, rolled_back: bool, now: dt.datetime) -> Any:
        until = self._until(now)
        if rolled_back:  # it was taken in the transaction that failed
            taken = self._rows.operation_take(tx, operation.id, self._owner, until, now)
            if taken is None or (taken.state, taken.step) != (operation.state, operation.step):
                raise Lost
            operation = taken
        chain, context = self._chains[operation.kind], context_of(operation, now)
        return give_up(self._rows, tx, context, chain, operation, reason, self._parts, until)


def _go_on(
    tx: Any, rows: Rows, ids: Sequence[str], step: str, following: str | None, now: dt.datetime
) -> int:
    return rows.operation_go_on(tx, ids, from_step=step, to_step=following, now=now)


async def _gather(works: list[Coroutine[Any, Any, bool]], at_once: int) -> list[bool]:
    """Run a few at a time; the first failure is raised after the others have ended."""
    limit = asyncio.Semaphore(at_once)

    async def one(work: Coroutine[Any, Any, bool]) -> bool:
        async with limit:
            return await work

    results = await asyncio.gather(*(one(work) for work in works), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [bool(result) for result in results]
