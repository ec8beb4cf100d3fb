"""Events: their order, their positions, and that everyone is told in the end."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import literal, select
from tests.store.things import NOW, RUN_S, new_id, opened, run, thing_insert, things, until
from tests.waiting import PATIENCE_S

from pileus.core.clock import ManualClock
from pileus.store import Event, Published, Store, Tx
from pileus.store.event import events
from pileus.store.events import events_since, events_trim, newest_position, scope_positions_max


def test_positions_follow_commits_without_gaps_under_many_writers(url: str) -> None:
    thing = new_id()

    def count(tx: Tx) -> None:
        # The lock makes the order of commits visible: the number goes up by one with each.
        tx.lock(thing)
        number = tx.scalar(select(things.c.number).where(things.c.id == thing)) + 1
        tx.execute(things.update().where(things.c.id == thing).values(number=number))
        tx.emit(Event(kind="thing.update", resource_id=thing, at=NOW, payload={"number": number}))

    async def story(store: Store) -> None:
        told: list[Event] = []
        store.subscribe(lambda published: told.extend(published.events))
        await store.write(thing_insert, thing)
        start = len(told)

        async def client() -> None:
            for _ in range(15):
                await store.write(count)

        await asyncio.gather(*(client() for _ in range(16)))
        await until(lambda: sum(event.kind == "thing.update" for event in told) == 240)
        numbers = [event.payload["number"] for event in told if event.kind == "thing.update"]
        assert numbers == list(range(1, 241))
        positions = [event.position for event in told]
        assert positions == list(range(positions[0], positions[0] + len(told)))
        assert store.position() == positions[-1]
        after = told[start].position
        assert [event.position for event in await store.read(events_since, after)] == [
            position for position in positions if position > after
        ]

    run(story, url)


def test_events_that_are_committed_in_another_order_than_written_get_positions_by_commit(
    kind: str, url: str
) -> None:
    """The first to take an id commits last, and must not appear behind a reader's back."""
    if kind == "sqlite":
        pytest.skip("one writer: ids are in commit order")
    early, late = new_id(), new_id()

    async def story(store: Store) -> None:
        told: list[str] = []
        store.subscribe(lambda published: told.extend(event.resource_id for event in published.events))
        engine = store._engine._write_pool
        with engine.connect() as connection:
            from pileus.store.event import event_row

            _, row = event_row(Event(kind="thing.create", resource_id=early, at=NOW))
            connection.execute(events.insert().inline(), [row])
            await store.write(thing_insert, late)
            await until(lambda: late in told)
            connection.commit()
        await until(lambda: early in told)  # nobody woke the relay: the slow look finds it
        assert told.index(late) < told.index(early)

    run(story, url, poll_s=0.05)


def test_scopes_keep_their_newest_position(url: str) -> None:
    a, b = f"network:{new_id()}", f"host:{new_id()}"

    async def story(store: Store) -> None:
        store.subscribe(lambda published: None)
        before = store.position()
        await store.write(thing_insert, new_id(), None, (a, b))
        await store.write(thing_insert, new_id(), None, (a,))
        await until(lambda: store.position() == before + 2)
        assert await store.read(newest_position, [a]) == before + 2
        assert await store.read(newest_position, [b]) == before + 1
        assert await store.read(newest_position, [b, a]) == before + 2
        assert await store.read(newest_position) == before + 2
        assert await store.read(newest_position, ["network:unknown"]) == 0
        assert await store.read(scope_positions_max, [b]) == before + 1
        chosen = select(literal("host:") + b.partition(":")[2])
        assert await store.read(scope_positions_max, chosen) == before + 1

    run(story, url)


def test_old_events_are_trimmed(url: str) -> None:
    scope = f"host:{new_id()}"

    async def story(store: Store) -> None:
        before = store.position()
        store.subscribe(lambda published: None)
        await store.write(thing_insert, new_id(), None, (scope,))
        await until(lambda: store.position() > before)
        position = store.position()
        assert await store.write(events_trim, NOW) == 0
        while await store.write(events_trim, NOW + dt.timedelta(seconds=1)):
            pass
        assert await store.read(events_since, 0) == []
        assert await store.read(newest_position, [scope]) == position
        await store.write(thing_insert, new_id())
        await until(lambda: store.position() == position + 1)

    run(story, url)


def test_a_subscriber_that_fails_harms_nobody(url: str) -> None:
    def fail(published: Published) -> None:
        raise ValueError(published.position)

    async def story(store: Store) -> None:
        told: list[str] = []
        store.subscribe(fail)
        store.subscribe(lambda published: told.extend(event.resource_id for event in published.events))
        thing = new_id()
        await store.write(thing_insert, thing)
        await until(lambda: thing in told)

    run(story, url)


def test_callers_on_sqlite_are_answered_after_subscribers_were_told(kind: str, url: str) -> None:
    if kind != "sqlite":
        pytest.skip("elsewhere positions are given after the commit")

    async def story(store: Store) -> None:
        told: list[str] = []
        store.subscribe(lambda published: told.extend(event.resource_id for event in published.events))
        await store.write(thing_insert, new_id())
        thing = await store.write(thing_insert, new_id())
        assert thing in told

    run(story, url)


def test_several_servers_all_hear_everything_in_one_order(kind: str, url: str) -> None:
    if kind == "sqlite":
        pytest.skip("an SQLite file has one server")

    async def main() -> None:
        async with asyncio.timeout(RUN_S), opened(url, poll_s=0.1) as one, opened(url, poll_s=0.1) as two:
            heard: dict[str, list[int]] = {"one": [], "two": []}
            for name, store in (("one", one), ("two", two)):
                heard[name].append(store.position())
                store.subscribe(
                    lambda published, name=name: heard[name].extend(e.position for e in published.events)
                )
            await asyncio.gather(
                *(store.write(thing_insert, new_id()) for _ in range(40) for store in (one, two))
            )
            await until(lambda: all(len(set(positions)) >= 80 for positions in heard.values()))
            newest = await one.read(newest_position)
            await until(lambda: all(positions[-1] == newest for positions in heard.values()))
            for positions in heard.values():
                assert positions[-80:] == list(range(newest - 79, newest + 1))

    asyncio.run(main())


def test_an_announcement_is_quicker_than_looking(kind: str, url: str) -> None:
    if kind == "sqlite":
        pytest.skip("an SQLite file has one server")

    async def main() -> None:
        async with asyncio.timeout(RUN_S), opened(url, poll_s=3600) as one, opened(url, poll_s=3600) as two:
            told: list[str] = []
            two.subscribe(lambda published: told.extend(event.resource_id for event in published.events))
            one.subscribe(lambda published: two.announce(published.position))
            thing = new_id()
            await one.write(thing_insert, thing)
            await until(lambda: thing in told)

    asyncio.run(main())


CRASH = """
import asyncio, os, signal, sys
from tests.store.things import thing_insert
from pileus.store import Store
from pileus.store.publication import Publisher

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

async def main(url, thing, where):
    store = await Store.open(url, migrate=False)
    if where == "told":
        store.subscribe(die)
    else:
        Publisher.wake = Publisher.committed = die
        store._engine._committed = die
    await store.write(thing_insert, thing)
    await asyncio.sleep(60)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("where", ["committed", "told"])
def test_what_a_crash_left_untold_is_told_after_the_start(url: str, where: str) -> None:
    thing = new_id()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    crashed = subprocess.run(
        [sys.executable, "-c", CRASH, url, thing, where], env=environment, timeout=90, check=False
    )
    assert crashed.returncode == -signal.SIGKILL

    async def story(store: Store) -> None:
        told: list[str] = []
        store.subscribe(lambda published: told.extend(event.resource_id for event in published.events))
        await until(lambda: thing in told)

    run(story, url)


def test_nothing_is_told_twice_after_an_orderly_end(url: str) -> None:
    thing, next_thing = new_id(), new_id()
    told: list[str] = []

    async def story(store: Store, name: str) -> None:
        store.subscribe(lambda published: told.extend(event.resource_id for event in published.events))
        await store.write(thing_insert, name)
        await until(lambda: name in told)

    run(lambda store: story(store, thing), url)
    run(lambda store: story(store, next_thing), url)
    assert told.count(thing) == 1
    assert told.count(next_thing) == 1


def test_the_store_trims_by_its_clock(url: str) -> None:
    clock = ManualClock(NOW + dt.timedelta(days=30))

    async def story(store: Store) -> None:
        store.subscribe(lambda published: None)
        before = store.position()
        await store.write(thing_insert, new_id())
        await until(lambda: store.position() > before)
        assert await store.read(events_since, before)
        clock.advance(3601)
        store._publisher.wake()
        async with asyncio.timeout(PATIENCE_S):
            while await store.read(events_since, 0):
                await asyncio.sleep(0.01)

    run(story, url, clock=clock)
