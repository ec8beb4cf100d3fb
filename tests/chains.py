"""Any chain, broken in every way: each step fails in turn, each is repeated, each is the last before a kill.

A :class:`Case` says how an operation of a chain comes to be, what others do for it meanwhile (a node that
reports), and how it looks when it was done and when it was undone. The rest is here:

    @pytest.mark.parametrize("make", CASES)
    def test_each_step_fails(make, tmp_path):
        asyncio.run(chains.fail_each_step(make, tmp_path))

A kill is what it is in life: the runner is gone before or after a commit, and another one comes when the
lease is over. Each way begins with a fresh case.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar

from sqlalchemy import select

from pileus.core.clock import ManualClock
from pileus.core.errors import Conflict
from pileus.flow.chain import Chain, Step
from pileus.flow.chain_runner import ChainRunner
from pileus.store import Store, Tx, operations
from pileus.store.operations import DONE, FAILED, Operation

LEASE_S = 10.0
_LOOKS = 12
"""After so many looks an operation that has not ended never will."""


class Killed(BaseException):
    """The process ends here."""


class BrokenOnPurpose(Conflict):
    message = "{step} was broken on purpose"


class Case(ABC):
    """One operation of a chain, in a world of its own."""

    chain: ClassVar[Chain]
    store: Store
    clock: ManualClock
    parts: Any

    @abstractmethod
    async def begin(self) -> None:
        """Have the operation written."""

    async def answer(self) -> None:  # noqa: B027 - most chains wait for nothing
        """Do what the operation may wait for."""

    async def pass_time(self, seconds: float) -> None:
        """Let time pass; whoever has to be heard of meanwhile is."""
        self.clock.advance(seconds)

    @abstractmethod
    async def assert_done(self) -> None:
        """It is as it was wanted, once, and nothing else."""

    @abstractmethod
    async def assert_undone(self, step: str, reason: str) -> None:
        """Nothing of it is left anywhere, and it is said why."""


Make = Callable[..., AbstractAsyncContextManager[Case]]


class Watched:
    """A store that counts what is written, kills before or after one of the writes, or runs units twice."""

    def __init__(
        self, store: Store, dies: int | None = None, *, after: bool = False, twice: bool = False
    ) -> None:
        self.read = store.read
        self.writes = 0
        self._store, self._dies, self._after, self._twice = store, dies, after, twice

    async def write(self, work: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
        number, self.writes = self.writes, self.writes + 1
        if number == self._dies and not self._after:
            raise Killed
        result = await self._store.write(_twice(work) if self._twice else work, *args, **keywords)
        if number == self._dies:
            raise Killed
        return result


class _RolledBack(Exception):
    pass


def _twice(work: Callable[..., Any]) -> Callable[..., Any]:
    """A unit that runs, is rolled back (a deadlock) and runs again."""

    def unit(tx: Tx, *args: Any, **keywords: Any) -> Any:
        with contextlib.suppress(_RolledBack), tx.savepoint():
            work(tx, *args, **keywords)
            raise _RolledBack
        return work(tx, *args, **keywords)

    return unit


def with_step(chain: Chain, name: str, change: Callable[[Step], Step]) -> Chain:
    """The chain, one step of it changed."""
    steps = tuple(change(step) if step.name == name else step for step in chain.steps)
    return dataclasses.replace(chain, steps=steps)


def broken(step: Step) -> Step:
    """A step that does what it does, and then fails."""
    do = step.do

    def unit(tx: Tx, *args: Any) -> None:
        assert do is not None
        do(tx, *args)
        raise BrokenOnPurpose(step=step.name)

    async def call(*args: Any) -> None:
        assert do is not None
        await do(*args)
        raise BrokenOnPurpose(step=step.name)

    return dataclasses.replace(step, do=call if inspect.iscoroutinefunction(do) else unit)


def repeated(step: Step) -> Step:
    """A step whose call is made twice, and whose undo is done twice. (A unit of it is done once or not.)"""

    def both(work: Any) -> Any:
        async def call(*args: Any) -> Any:
            await work(*args)
            return await work(*args)

        def unit(*args: Any) -> Any:
            work(*args)
            return work(*args)

        return call if inspect.iscoroutinefunction(work) else unit

    changes: dict[str, Any] = {}
    if inspect.iscoroutinefunction(step.do):
        changes["do"] = both(step.do)
    if step.undo is not None:
        changes["undo"] = both(step.undo)
    return dataclasses.replace(step, **changes)


def doing(chain: Chain) -> list[str]:
    """Names of the steps that do something."""
    return [step.name for step in chain.steps if step.do is not None]


def waiting(chain: Chain) -> list[str]:
    """Names of the steps that wait for others."""
    return [step.name for step in chain.steps if step.wait is not None]


async def operation_of(case: Case) -> Operation:
    """The newest operation of the case's chain."""

    def unit(tx: Tx) -> Operation | None:
        c = operations.operations.c
        row = tx.first(select(c.id).where(c.kind == case.chain.kind).order_by(c.created_at.desc()))
        return None if row is None else operations.operation_get(tx, row.id)

    found = await case.store.read(unit)
    assert found is not None, f"no operation of {case.chain.kind} was begun"
    return found


def runner(case: Case, chain: Chain, owner: str, store: Any = None) -> ChainRunner:
    return ChainRunner(
        (chain,),
        store or case.store,
        operations,
        case.clock,
        parts=case.parts,
        owner=owner,
        lease_s=LEASE_S,
    )


async def to_its_end(
    case: Case, chain: Chain, owner: str = "one", store: Any = None, *, answered: bool = True
) -> Operation:
    """Work on it until it has ended; what it waits for comes, or (not ``answered``) never does."""
    working = runner(case, chain, owner, store)
    for _ in range(_LOOKS):
        await working.work()
        operation = await operation_of(case)
        if operation.state in (DONE, FAILED):
            return operation
        if answered:
            await case.answer()
        elif operation.deadline is not None:
            await case.pass_time((operation.deadline - case.clock.now()).total_seconds())
    raise AssertionError(f"it does not end: {await operation_of(case)}")


@contextlib.asynccontextmanager
async def begun(make: Make, *args: Any) -> AsyncIterator[Case]:
    async with make(*args) as case:
        await case.begin()
        yield case


def assert_failed(operation: Operation, step: str) -> str:
    """It failed where it was broken, and is over; returns the reason."""
    reason = BrokenOnPurpose(step=step).text
    assert (operation.state, operation.step, operation.error) == (FAILED, step, reason)
    assert operation.owner is None and operation.deadline is None
    return reason


async def go_through(make: Make, *args: Any) -> None:
    """Nothing is broken; and units that are rolled back and run again, calls that are made twice."""
    async with begun(make, *args) as case:
        operation = await to_its_end(case, case.chain)
        assert (operation.state, operation.error) == (DONE, None)
        await case.assert_done()
    async with begun(make, *args) as case:
        chain = case.chain
        for step in chain.steps:
            chain = with_step(chain, step.name, repeated)
        operation = await to_its_end(case, chain, store=Watched(case.store, twice=True))
        assert (operation.state, operation.error) == (DONE, None)
        await case.assert_done()


async def fail_each_step(make: Make, *args: Any) -> None:
    """Each step fails in turn: all is undone, once, twice, and also where the undoing is run again."""
    async with make(*args) as case:
        names = doing(case.chain)
    for name in names:
        async with begun(make, *args) as case:
            operation = await to_its_end(case, with_step(case.chain, name, broken))
            await case.assert_undone(name, assert_failed(operation, name))
        async with begun(make, *args) as case:
            chain = case.chain
            for step in chain.steps:
                chain = with_step(chain, step.name, repeated)
            chain = with_step(chain, name, broken)
            operation = await to_its_end(case, chain, store=Watched(case.store, twice=True))
            await case.assert_undone(name, assert_failed(operation, name))


async def kill_everywhere(make: Make, *args: Any, **how: Any) -> int:
    """Kill the runner before and after each commit; another one brings it to its end. How many kills.

    ``break_at``: a step that fails, so that kills come between the undoing; ``answered`` False: what is
    waited for never comes. ``check(case, operation)``: how it ends, instead of being done or undone.
    """
    kills = 0
    for after in (False, True):
        number = 0
        while await _killed_at(number, after, make, *args, **how):
            number += 1
        kills += number
    return kills


async def _killed_at(
    number: int,
    after: bool,
    make: Make,
    *args: Any,
    break_at: str | None = None,
    answered: bool = True,
    check: Callable[[Case, Operation], Any] | None = None,
) -> bool:
    """False where there is no such write any more."""
    async with begun(make, *args) as case:
        chain = with_step(case.chain, break_at, broken) if break_at else case.chain
        store = Watched(case.store, number, after=after)
        killed = False
        try:
            operation = await to_its_end(case, chain, "one", store, answered=answered)
        except Killed:
            killed = True
            held = await operation_of(case)
            if held.owner == "one":
                # the next one has to wait until the dead one's time is over
                await runner(case, chain, "two").work()
                assert await operation_of(case) == held
            await case.pass_time(LEASE_S + 1)
            operation = await to_its_end(case, chain, "two", answered=answered)
        if check is not None:
            await check(case, operation)
        elif break_at is not None:
            await case.assert_undone(break_at, assert_failed(operation, break_at))
        else:
            assert (operation.state, operation.error) == (DONE, None)
            await case.assert_done()
        return killed
