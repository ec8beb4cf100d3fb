"""Chains: steps once and in order, undone from where they failed, taken over wherever somebody died."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pileus.core.clock import ManualClock
from pileus.core.errors import Conflict, Unavailable
from pileus.flow.chain import Chain, Step, Wait, give_up, waits_until
from pileus.flow.chain_runner import ChainRunner
from pileus.store import Store, operations
from pileus.store.operations import DONE, FAILED, PENDING, RUNNING, UNDOING, WAITING, Operation

LEASE_S = 10.0


class Killed(BaseException):
    """The process ends here."""


class Bench:
    """A store, a clock, operations of one chain; what their steps did is in their data."""

    def __init__(self, store: Store, clock: ManualClock, chain: Chain, lease_s: float) -> None:
        self.store, self.clock, self.chain, self.lease_s = store, clock, chain, lease_s

    def runner(self, owner: str = "one", store: Any = None) -> ChainRunner:
        return ChainRunner(
            (self.chain,),
            store or self.store,
            operations,
            self.clock,
            parts=self,
            owner=owner,
            lease_s=self.lease_s,
        )

    async def begin(self, name: str = "op", **values: Any) -> None:
        now = self.clock.now()
        until = waits_until(self.chain, self, now)

        def unit(tx: Any) -> None:
            operations.operation_create(
                tx,
                operation_id=name,
                kind=self.chain.kind,
                resource_id="r",
                step=self.chain.first.name,
                now=now,
                data={"did": []},
                waits_until=until,
                **values,
            )

        await self.store.write(unit)

    async def operation(self, name: str = "op") -> Operation:
        found = await self.store.read(operations.operation_get, name)
        assert found is not None
        return found

    async def did(self) -> list[str]:
        return list((await self.operation()).data["did"])


def does(name: str) -> Callable[..., Any]:
    """A unit that writes down that it was done."""

    def unit(tx: Any, context: Any, operation: Any, parts: Any) -> dict[str, Any]:
        return {**operation.data, "did": [*operation.data["did"], name]}

    return unit


def calls(name: str) -> Callable[..., Awaitable[Any]]:
    async def call(context: Any, operation: Any, parts: Any) -> dict[str, Any]:
        return {**operation.data, "did": [*operation.data["did"], name]}

    return call


def breaks(error: BaseException) -> Callable[..., Any]:
    def unit(tx: Any, context: Any, operation: Any, parts: Any) -> None:
        raise error

    return unit


def play(
    folder: Path, chain: Chain, story: Callable[[Bench], Awaitable[None]], *, lease_s: float = LEASE_S
) -> None:
    async def main() -> None:
        clock = ManualClock()
        store = await Store.open(f"sqlite:///{folder / 'chain.sqlite'}", clock=clock)
        try:
            await story(Bench(store, clock, chain, lease_s))
        finally:
            await store.close()

    asyncio.run(main())


THREE = (
    Step("a", does("a"), undo=does("-a")),
    Step("b", calls("b"), undo=calls("-b")),
    Step("c", does("c"), undo=does("-c")),
)


def test_steps_are_done_in_order(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.begin()
        assert (await bench.operation()).state == PENDING
        await bench.runner().work()
        operation = await bench.operation()
        assert (operation.state, operation.owner, operation.error) == (DONE, None, None)
        assert await bench.did() == ["a", "b", "c"]

    play(tmp_path, Chain("test.three", THREE), story)


def test_a_fault_undoes_from_its_step_backwards_and_says_why(tmp_path: Path) -> None:
    heard: list[tuple[str, str, str | None]] = []

    def hear(what: str) -> Callable[..., Any]:
        return lambda tx, context, operation, parts: heard.append((what, operation.step, operation.error))

    async def fails(context: Any, operation: Any, parts: Any) -> None:
        raise Conflict("there is no b")

    steps = (THREE[0], Step("quiet"), Step("b", fails, undo=calls("-b")), THREE[2])
    chain = Chain("test.fails", steps, on_fault=hear("fault"), on_failed=hear("failed"))

    async def story(bench: Bench) -> None:
        await bench.begin()
        await bench.runner().work()
        operation = await bench.operation()
        assert (operation.state, operation.step, operation.error) == (FAILED, "b", "there is no b")
        assert operation.owner is operation.deadline is None
        assert await bench.did() == ["a", "-b", "-a"]
        assert heard == [("fault", "b", "there is no b"), ("failed", "b", "there is no b")]

    play(tmp_path, chain, story)


def test_a_first_step_that_fails_and_a_chain_with_nothing_to_undo(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.begin()
        await bench.runner().work()
        operation = await bench.operation()
        assert (operation.state, operation.step, operation.error) == (FAILED, "a", "never")

    play(tmp_path, Chain("test.first", (Step("a", breaks(Conflict("never"))), THREE[1])), story)


def test_unavailable_waits_for_a_later_try_until_the_time_of_the_chain_is_over(tmp_path: Path) -> None:
    tries = []

    def away(tx: Any, context: Any, operation: Any, parts: Any) -> None:
        tries.append(operation.owner)
        raise Unavailable("not now")

    chain = Chain("test.away", (THREE[0], Step("b", away)), timeout_s=lambda parts: 100.0)

    async def story(bench: Bench) -> None:
        await bench.begin()
        await bench.runner().work()
        assert (await bench.operation()).state == RUNNING
        await bench.runner().work()
        assert tries == ["one"], "not before its lease is over"
        bench.clock.advance(LEASE_S + 1)
        await bench.runner("two").work()
        assert tries == ["one", "two"]
        bench.clock.advance(100)
        await bench.runner("three").work()
        operation = await bench.operation()
        assert (operation.state, operation.step, operation.error) == (FAILED, "b", "not now")
        assert await bench.did() == ["a", "-a"]

    play(tmp_path, chain, story)


def test_one_that_breaks_in_an_unexpected_way_keeps_none_of_the_others_waiting(tmp_path: Path) -> None:
    def odd(tx: Any, context: Any, operation: Any, parts: Any) -> None:
        if operation.id == "odd":
            raise KeyError("who wrote this")

    chain = Chain("test.odd", (Step("a", odd), THREE[2]), timeout_s=lambda parts: 100.0)

    async def story(bench: Bench) -> None:
        await bench.begin("odd")
        await bench.begin("op")
        await bench.runner().work()
        assert (await bench.operation("op")).state == DONE
        assert (await bench.operation("odd")).state == RUNNING, "held, so that it is not tried at once again"
        bench.clock.advance(101)
        await bench.runner().work()
        odd_one = await bench.operation("odd")
        assert (odd_one.state, odd_one.error) == (FAILED, "An unexpected error occurred.")

    play(tmp_path, chain, story)


def test_a_wait_goes_on_by_a_message_or_when_it_is_seen_to_be_over(tmp_path: Path) -> None:
    there: set[str] = set()

    def over(tx: Any, context: Any, waiting: Any, parts: Any) -> list[str]:
        return [one.id for one in waiting if one.id in there]

    chain = Chain("test.wait", (Step("w", does("w"), wait=Wait(lambda parts: 60, over=over)), THREE[2]))

    async def story(bench: Bench) -> None:
        await bench.begin()
        await bench.begin("other")
        await bench.runner().work()
        assert (await bench.operation()).state == WAITING
        now = bench.clock.now()

        def message(tx: Any) -> int:
            return operations.operation_go_on(tx, ["op"], from_step="w", to_step="c", now=now)

        assert await bench.store.write(message) == 1
        assert await bench.store.write(message) == 0, "it comes once"
        await bench.runner().work(everything=False)
        assert await bench.did() == ["w", "c"]
        await bench.runner().work()
        assert (await bench.operation("other")).state == WAITING
        there.add("other")
        await bench.runner().work()
        assert (await bench.operation("other")).state == DONE

    play(tmp_path, chain, story)


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_wait_ends_at_its_deadline(tmp_path: Path, goes_on: bool) -> None:
    late = does("late") if goes_on else None
    chain = Chain("test.late", (Step("w", wait=Wait(lambda parts: 60, late=late)), THREE[2]))

    async def story(bench: Bench) -> None:
        await bench.begin()
        assert (await bench.operation()).state == WAITING, "a first step that only waits needs no runner"
        bench.clock.advance(59)
        await bench.runner().work()
        assert (await bench.operation()).state == WAITING
        bench.clock.advance(1)
        await bench.runner().work()
        operation = await bench.operation()
        if goes_on:
            assert (operation.state, await bench.did()) == (DONE, ["late", "c"])
        else:
            assert (operation.state, operation.step, operation.error) == (FAILED, "w", "w took too long")

    play(tmp_path, chain, story)


def test_whoever_learns_of_a_failure_turns_a_waiting_operation_round(tmp_path: Path) -> None:
    chain = Chain("test.told", (THREE[0], Step("w", wait=Wait(lambda parts: 60)), THREE[2]))

    async def story(bench: Bench) -> None:
        from pileus.core.context import system_context

        await bench.begin()
        await bench.runner().work()
        waiting = await bench.operation()
        context = system_context(bench.clock.now())

        def report(tx: Any) -> None:
            give_up(operations, tx, context, chain, waiting, "the node says no", bench)

        await bench.store.write(report)
        assert (await bench.operation()).state == UNDOING
        await bench.runner().work()
        operation = await bench.operation()
        assert (operation.state, operation.step, operation.error) == (FAILED, "w", "the node says no")
        assert await bench.did() == ["a", "-a"]

    play(tmp_path, chain, story)


def test_a_step_that_no_version_has_is_undone_whole(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.begin()
        bench.chain = Chain(bench.chain.kind, (Step("z", undo=does("-z")), Step("y", undo=does("-y"))))
        await bench.runner().work()
        operation = await bench.operation()
        assert (operation.state, operation.error) == (FAILED, "There is no step a in test.three.")
        assert await bench.did() == ["-y", "-z"]

    play(tmp_path, Chain("test.three", THREE), story)


def test_who_slept_longer_than_his_lease_has_lost_it(tmp_path: Path) -> None:
    async def slow(context: Any, operation: Any, parts: Bench) -> dict[str, Any]:
        if operation.owner == "one":
            parts.clock.advance(LEASE_S + 1)
            await parts.runner("two").work()
        return {**operation.data, "did": [*operation.data["did"], operation.owner]}

    async def story(bench: Bench) -> None:
        await bench.begin()
        await bench.runner().work()
        assert (await bench.operation()).state == DONE
        assert await bench.did() == ["a", "two", "c"]

    play(tmp_path, Chain("test.slow", (THREE[0], Step("b", slow), THREE[2])), story)


def test_a_call_ends_when_the_operation_is_lost_meanwhile(tmp_path: Path) -> None:
    ended = []
    called = asyncio.Event()

    async def endless(context: Any, operation: Any, parts: Bench) -> None:
        if operation.owner == "two":
            return
        try:
            called.set()
            await asyncio.Event().wait()
        finally:
            ended.append(operation.owner)

    async def story(bench: Bench) -> None:
        await bench.begin()
        runner = bench.runner()
        async with asyncio.timeout(60):
            working = asyncio.create_task(runner.work())
            await called.wait()
            bench.clock.advance(LEASE_S + 1)
            await bench.runner("two").work()
            assert (await bench.operation()).state == DONE
            await working
        assert ended == ["one"]

    play(tmp_path, Chain("test.endless", (THREE[0], Step("b", endless), THREE[2])), story, lease_s=0.05)


def test_what_waits_and_can_not_be_looked_at_keeps_nothing_else(tmp_path: Path) -> None:
    def odd(tx: Any, context: Any, waiting: Any, parts: Any) -> list[str]:
        raise KeyError("odd")

    chain = Chain("test.odd", (THREE[0], Step("w", wait=Wait(lambda parts: 60, over=odd)), THREE[2]))

    async def story(bench: Bench) -> None:
        await bench.begin()
        for _ in range(2):
            await bench.runner().work()
        assert (await bench.operation()).state == WAITING
        await bench.begin("other")
        await bench.runner().work()
        assert (await bench.operation("other")).state == WAITING

    play(tmp_path, chain, story)


def test_names_of_steps_are_their_own() -> None:
    with pytest.raises(ValueError, match="names of their own"):
        Chain("test.twice", (THREE[0], THREE[0]))
    assert Chain("test.three", THREE).progress("b") == ("b", 2, 3)
