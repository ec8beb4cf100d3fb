"""docs/long-operations.md does what it says: its chain goes through, fails and is taken over."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import chains

from pileus.core.clock import ManualClock
from pileus.core.context import system_context
from pileus.store import Store
from pileus.store.operations import DONE, FAILED, WAITING, operation_get

PAGE = (Path(__file__).parents[3] / "docs" / "long-operations.md").read_text()


@pytest.fixture
def page() -> Iterator[dict[str, Any]]:
    """The module that the page's Python blocks are."""
    names: dict[str, Any] = {"__name__": "example"}
    for text in re.findall(r"```python\n(.*?)```", PAGE, re.S):
        exec(compile(text, "long-operations.md", "exec"), names)
    yield names


@contextlib.asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[tuple[Store, ManualClock]]:
    clock = ManualClock()
    store = await Store.open(f"sqlite:///{folder / 'example.sqlite'}", clock=clock)
    try:
        yield store, clock
    finally:
        await store.close()


def test_a_parcel_is_sent_and_one_is_not(page: dict[str, Any], tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (store, clock):
            told: list[str] = []
            context = system_context(clock.now())
            await store.write(page["parcel_send"], context, "one", "Main Street", told)
            running = page["runner"](store, clock, told)
            await running.work()
            one = await store.read(operation_get, "one")
            assert one is not None
            assert (one.state, one.step) == (WAITING, "arrival")
            assert (page["shelves"]["free"], page["couriers"]) == (0, {"one": "Main Street"})

            # another one finds no shelf; a third finds one, and no courier
            await store.write(page["parcel_send"], context, "two", "High Street", told)
            await running.work()
            page["shelves"]["free"] = 1
            await store.write(page["parcel_send"], context, "three", "nowhere", told)
            await running.work()
            assert told == ["There is no free shelf.", "No courier goes there."]
            assert (page["shelves"]["free"], page["couriers"]) == (1, {"one": "Main Street"})

            await store.write(page["parcel_arrived"], "one", clock.now())
            ended = [await store.read(operation_get, key) for key in ("one", "two", "three")]
            assert [(one.state, one.step) for one in ended if one] == [
                (DONE, "arrival"),
                (FAILED, "claim"),
                (FAILED, "courier"),
            ]

    asyncio.run(main())


def test_nobody_says_that_it_has_arrived(page: dict[str, Any], tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (store, clock):
            told: list[str] = []
            await store.write(page["parcel_send"], system_context(clock.now()), "one", "Main Street", told)
            running = page["runner"](store, clock, told)
            await running.work()
            clock.advance(3600)
            await running.work()
            assert told == ["arrival took too long"]
            assert (page["shelves"]["free"], page["couriers"]) == (1, {})

    asyncio.run(main())


def test_the_runner_of_the_page_is_killed_everywhere(page: dict[str, Any], tmp_path: Path) -> None:
    numbers = iter(range(1000))

    @contextlib.asynccontextmanager
    async def make() -> AsyncIterator[chains.Case]:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        async with opened(folder) as (store, clock):
            yield page["SendCase"](store, clock)

    async def main() -> tuple[int, int]:
        done = await chains.kill_everywhere(make)
        undone = await chains.kill_everywhere(make, break_at="courier")
        return done, undone

    done, undone = asyncio.run(main())
    assert done >= 2 * 3
    assert undone >= 2 * 4
