"""What is old goes, in batches, and nobody who has missed something is told that he has not."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterator

import pytest
from sqlalchemy import func, select, text, update
from tests import databases
from tests.store.things import NOW, TABLES, new_id, run, thing_insert, until

from pileus.core.clock import ManualClock
from pileus.store import Store, Tx, migrations, trimming
from pileus.store.event import TRIMMED, events, scope_positions
from pileus.store.events import events_trim, newest_position
from pileus.store.leases import lease_take
from pileus.store.locks import locks
from pileus.store.operations import DONE, operation_create, operation_get, operations
from pileus.store.publication import LEASE
from pileus.store.schema import metadata
from pileus.store.trimming import ScopeTrim, locks_trim, operations_trim

OLD, YOUNG = NOW, NOW + dt.timedelta(days=20)


@pytest.fixture
def url(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database of this test's own: what is trimmed is everybody's."""
    with databases.fresh(kind, tmp_path_factory.mktemp("trimming")) as url:
        migrations.prepare(url)
        with migrations.connected(url) as connection:
            metadata.create_all(connection, tables=TABLES)
            connection.commit()
        yield url


async def happen(store: Store, *scopes: str) -> int:
    """Something happens to these scopes; the position that it has."""
    before = store.position()
    await store.write(thing_insert, new_id(), None, scopes)
    await until(lambda: store.position() > before)
    return store.position()


def grow_old(tx: Tx, up_to: int) -> None:
    tx.execute(update(events).where(events.c.position <= up_to).values(at=OLD))
    tx.execute(update(events).where(events.c.position > up_to).values(at=YOUNG))


def scopes_left(tx: Tx) -> set[str]:
    return {row.scope for row in tx.rows(select(scope_positions.c.scope))}


async def trim(store: Store) -> None:
    while await store.write(events_trim, OLD + dt.timedelta(days=1)):
        pass
    scopes = ScopeTrim()
    while await store.write(scopes, YOUNG):
        pass


def test_whoever_comes_back_with_an_old_position_is_told_to_compare(url: str) -> None:
    async def story(store: Store) -> None:
        store.subscribe(lambda published: None)
        first = await happen(store, "port:gone", "network:quiet")
        second = await happen(store, "port:gone")
        third = await happen(store, "network:quiet", "router:quiet")
        fourth = await happen(store, "port:here")
        await store.write(grow_old, third)
        await trim(store)
        assert await store.read(scopes_left) & {"port:gone", "network:quiet", "router:quiet"} == set()
        assert "port:here" in await store.read(scopes_left)

        async def is_up_to_date(position: int, *scopes: str) -> bool:
            return bool(position >= await store.read(newest_position, scopes))

        for away_since in (first, second):
            assert not await is_up_to_date(away_since, "port:gone")
            assert not await is_up_to_date(away_since, "network:quiet")
        assert await is_up_to_date(third, "network:quiet", "router:quiet", "port:gone")
        assert not await is_up_to_date(third, "port:here")
        assert await is_up_to_date(fourth, "port:here", "network:quiet")
        # an agent that compared knows the newest position of all, and is not told again
        compared = await store.read(newest_position)
        assert compared == fourth and await is_up_to_date(compared, "port:gone", "router:quiet")
        later = await happen(store, "network:quiet")
        assert not await is_up_to_date(compared, "network:quiet")
        assert await store.read(newest_position, ["network:quiet"]) == later

    run(story, url)


def test_without_any_event_left_positions_go_on(url: str) -> None:
    async def story(store: Store) -> None:
        store.subscribe(lambda published: None)
        last = await happen(store, "port:gone")
        await store.write(grow_old, last)
        await trim(store)
        assert await store.read(newest_position, ["port:gone"]) == last
        assert await store.read(newest_position) == last
        assert await happen(store, "port:new") == last + 1

    run(story, url)


def test_many_go_in_batches(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(store: Store) -> None:
        store.subscribe(lambda published: None)
        last = await happen(store, *(f"port:{number:04d}" for number in range(2500)))
        await happen(store, "port:here")
        await store.write(grow_old, last)
        while await store.write(events_trim, OLD + dt.timedelta(days=1)):
            pass
        scopes, went = ScopeTrim(), []
        while count := await store.write(scopes, YOUNG):
            went.append(count)
        assert went == [trimming.BATCH, trimming.BATCH, 500]
        assert "port:here" in await store.read(scopes_left)
        assert await store.write(scopes, YOUNG) == 0

    run(story, url)


def test_finished_operations_go(url: str) -> None:
    def make(tx: Tx, name: str, state: str | None, at: dt.datetime) -> None:
        operation_create(tx, operation_id=name, kind="boot", resource_id=name, step="begin", now=at)
        if state:
            tx.execute(update(operations).where(operations.c.id == name).values(state=state))

    async def story(store: Store) -> None:
        await store.write(make, "old", DONE, OLD)
        await store.write(make, "unfinished", None, OLD)
        await store.write(make, "young", DONE, YOUNG)
        assert await store.write(operations_trim, OLD + dt.timedelta(days=1)) == 1
        assert await store.write(operations_trim, OLD + dt.timedelta(days=1)) == 0
        assert await store.read(operation_get, "old") is None
        assert await store.read(operation_get, "unfinished") and await store.read(operation_get, "young")

    run(story, url)


def test_names_of_locks_go_and_those_that_are_held_stay(url: str) -> None:
    def count(tx: Tx) -> int:
        return int(tx.scalar(select(func.count()).select_from(locks)))

    async def story(store: Store) -> None:
        if store.dialect == "sqlite":
            return
        holding, done = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def hold(tx: Tx) -> None:
            tx.lock("quota:p:held")
            loop.call_soon_threadsafe(holding.set)
            asyncio.run_coroutine_threadsafe(done.wait(), loop).result(20)

        await store.write(lambda tx: tx.lock("quota:p:held", *(f"quota:{n}:port" for n in range(50))))
        holder = asyncio.create_task(store.write(hold))
        await holding.wait()
        await store.write(locks_trim, NOW)
        assert await store.read(count) == 1
        done.set()
        await holder
        await store.write(lambda tx: tx.lock("quota:3:port"))
        assert await store.read(count) == 2

    run(story, url)


def test_the_store_trims_what_it_is_told_to_and_one_server_at_a_time(url: str) -> None:
    clock = ManualClock(YOUNG)
    ran: list[dt.datetime] = []

    def also(tx: Tx, now: dt.datetime) -> int:
        ran.append(now)
        return 0

    async def story(store: Store) -> None:
        store.trim_also(also)
        await store.write(lease_take, LEASE, "another server", 10_000, clock.now())
        for _ in range(2):
            clock.advance(3601)
            store._publisher.wake()
            await store.read(lambda tx: tx.scalar(text("SELECT 1")))
        assert not ran
        clock.advance(10_000)
        store._publisher.wake()
        await until(lambda: bool(ran))

    run(story, url, clock=clock, poll_s=0.05)


def test_a_trim_counts_from_when_it_began(url: str) -> None:
    """Else one that comes due while another waits for the database would be late by a whole period."""
    clock = ManualClock(YOUNG)
    ran: list[dt.datetime] = []

    def also(tx: Tx, now: dt.datetime) -> int:
        if not ran:
            clock.advance(10_000)
        ran.append(now)
        return 0

    async def story(store: Store) -> None:
        store.trim_also(also)
        await store.read(lambda tx: tx.scalar(text("SELECT 1")))
        clock.advance(3601)
        store._publisher.wake()
        await until(lambda: len(ran) == 1)
        store._publisher.wake()
        await until(lambda: len(ran) == 2)

    run(story, url, clock=clock, poll_s=0.05)


def test_the_row_of_what_was_trimmed_is_no_scope(url: str) -> None:
    async def story(store: Store) -> None:
        store.subscribe(lambda published: None)
        last = await happen(store, "port:gone")
        await store.write(grow_old, last)
        await trim(store)
        await trim(store)
        assert TRIMMED in await store.read(scopes_left)

    run(story, url)
