"""Units that go together: who waits for whom, whose fault refuses whom, who is told what."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest
from tests.store.things import GET, new_id, run, thing_insert, until

from pileus.core.errors import Conflict
from pileus.store import Store, Tx
from pileus.store import joining as module
from pileus.store.errors import CommitUnknown
from pileus.store.joining import Joining


class Refused(Conflict):
    message = "No."


class Writer:
    """In the store's place: remembers each unit's items, and holds it until it is let go."""

    def __init__(self) -> None:
        self.units: list[list[str]] = []
        self.gates: list[asyncio.Event] = []
        self.fails: Callable[[Sequence[str]], Exception | None] = lambda items: None
        self.joining = Joining(self)

    async def __call__(self, work: module.Work, items: Sequence[Any], /) -> Sequence[Any]:
        self.units.append(list(items))
        gate = asyncio.Event()
        self.gates.append(gate)
        await gate.wait()
        if (error := self.fails(items)) is not None:
            raise error
        return [f"made {item}" for item in items]

    def ask(self, item: str, key: str = "ports") -> asyncio.Task[Any]:
        return asyncio.create_task(self.joining.write(key, _never, item))

    async def let_go(self, number: int) -> None:
        """Let the unit of this number end, once it has begun."""
        await until(lambda: len(self.gates) > number)
        self.gates[number].set()


def _never(tx: Tx, items: Sequence[Any]) -> Sequence[Any]:
    raise AssertionError("the writer of these tests runs no work")


def _tell(story: Callable[[Writer], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        writer = Writer()
        await story(writer)
        assert not writer.joining._waiting, "nothing is remembered when all have gone"

    asyncio.run(whole())


def test_who_comes_while_one_runs_goes_with_the_next() -> None:
    async def story(writer: Writer) -> None:
        first = writer.ask("a")
        await until(lambda: writer.units == [["a"]])
        rest = [writer.ask(name) for name in "bcd"]
        other = writer.ask("x", key="networks")
        await until(lambda: writer.units == [["a"], ["x"]])
        await writer.let_go(0)
        assert await first == "made a"
        await until(lambda: len(writer.units) == 3)
        assert writer.units[2] == ["b", "c", "d"]
        await writer.let_go(2)
        assert await asyncio.gather(*rest) == ["made b", "made c", "made d"]
        await writer.let_go(1)
        assert await other == "made x"

    _tell(story)


def test_a_unit_has_a_bound_and_those_who_have_gone_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ITEMS", 2)

    async def story(writer: Writer) -> None:
        tasks = [writer.ask(name) for name in "abcde"]
        await until(lambda: writer.units == [["a"]])
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.wait([tasks[1]])
        for number in range(3):
            await writer.let_go(number)
        assert await asyncio.gather(tasks[0], *tasks[2:]) == ["made a", "made c", "made d", "made e"]
        assert writer.units == [["a"], ["c", "d"], ["e"]]

    _tell(story)


def test_one_that_is_cancelled_takes_nobody_with_it() -> None:
    async def story(writer: Writer) -> None:
        first, second = writer.ask("a"), writer.ask("b")
        await until(lambda: writer.units == [["a"]])
        first.cancel()
        await until(lambda: len(writer.units) == 2)
        third = writer.ask("c")
        await asyncio.sleep(0)
        second.cancel()
        await writer.let_go(1)
        await writer.let_go(2)
        assert await third == "made c"
        assert first.cancelled() and second.cancelled()

    _tell(story)


def test_where_one_is_refused_each_runs_by_itself() -> None:
    async def story(writer: Writer) -> None:
        writer.fails = lambda items: Refused() if "c" in items else None
        first = writer.ask("a")
        await until(lambda: writer.units == [["a"]])
        rest = [writer.ask(name) for name in "bcd"]
        for number in range(5):
            await writer.let_go(number)
        assert await first == "made a"
        told = await asyncio.gather(*rest, return_exceptions=True)
        assert told[0] == "made b" and told[2] == "made d"
        assert isinstance(told[1], Refused)
        assert writer.units == [["a"], ["b", "c", "d"], ["b"], ["c"], ["d"]]

    _tell(story)


def test_a_first_one_that_is_refused_leaves_the_way_free() -> None:
    async def story(writer: Writer) -> None:
        writer.fails = lambda items: Refused() if items == ["a"] else None
        first, second = writer.ask("a"), writer.ask("b")
        await writer.let_go(0)
        with pytest.raises(Refused):
            await first
        await writer.let_go(1)
        assert await second == "made b"

    _tell(story)


def test_what_may_have_been_written_is_not_tried_again() -> None:
    async def story(writer: Writer) -> None:
        writer.fails = lambda items: CommitUnknown() if len(items) > 1 else None
        first, *rest = [writer.ask(name) for name in "abc"]
        await writer.let_go(0)
        await writer.let_go(1)
        assert await first == "made a"
        told = await asyncio.gather(*rest, return_exceptions=True)
        assert [type(one) for one in told] == [CommitUnknown, CommitUnknown]
        assert writer.units == [["a"], ["b", "c"]]

    _tell(story)


def test_the_store_keeps_what_is_made_together_and_nothing_of_what_is_refused(url: str) -> None:
    names = [new_id() for _ in range(12)]
    sizes: list[int] = []

    def insert(tx: Tx, items: Sequence[str]) -> list[str]:
        sizes.append(len(items))
        for item in items:
            thing_insert(tx, item)
        if names[7] in items:
            raise Refused
        return [f"made {item}" for item in items]

    async def story(store: Store) -> None:
        asked = [store.write_joined("things", insert, name) for name in names]
        told = await asyncio.gather(*asked, return_exceptions=True)
        for number, name in enumerate(names):
            row = await store.read(lambda tx, name=name: tx.first(GET, {"thing": name}))
            if number == 7:
                assert isinstance(told[number], Refused) and row is None
            else:
                assert told[number] == f"made {name}" and row is not None
        assert sizes[:2] == [1, 11] and len(sizes) >= 13

    run(story, url)
