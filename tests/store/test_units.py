"""Units of work: what is committed, what is undone, what happens to the others."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
from pathlib import Path

import pytest
from sqlalchemy import and_, create_engine, delete, literal, select, text
from sqlalchemy.exc import DBAPIError
from tests.store.things import (
    ADD_ONE,
    GET,
    NOW,
    new_id,
    parts,
    run,
    thing_insert,
    thing_number,
    things,
    until,
    waiting,
)

from pileus.resource.rows import fetch
from pileus.services.network.networks.resource import NETWORK
from pileus.store import Duplicate, Event, Referenced, Store, Tx
from pileus.store.engine import sqlite
from pileus.store.engine.pooled import driver_url
from pileus.store.errors import DatabaseUnavailable


def test_what_is_written_is_read_back_with_its_types(url: str) -> None:
    thing = new_id()
    data = {"list": [1, 2.5, None, "ä😀"], "deep": {"yes": True}}

    def insert(tx: Tx) -> None:
        tx.insert(things, [{"id": thing, "name": "Ä😀", "number": 7, "at": NOW, "data": data}])

    async def story(store: Store) -> None:
        await store.write(insert)
        row = await store.read(lambda tx: tx.first(GET, {"thing": thing}))
        assert row is not None
        assert tuple(row) == (thing, "Ä😀", 7, NOW, data)

    run(story, url)


def test_moments_sort_and_compare_as_time_does(url: str) -> None:
    moments = [NOW.replace(microsecond=0), NOW, NOW + dt.timedelta(microseconds=1)]
    names = [new_id() for _ in moments]

    def insert(tx: Tx) -> None:
        rows = [
            {"id": name, "name": name, "number": 0, "at": at, "data": None}
            for name, at in zip(names, moments, strict=True)
        ]
        tx.insert(things, rows)
        assert tx.statements == 1

    def later(tx: Tx) -> list[str]:
        chosen = select(things.c.id).where(things.c.id.in_(names), things.c.at > moments[0])
        return [row.id for row in tx.rows(chosen.order_by(things.c.at.desc()))]

    async def story(store: Store) -> None:
        await store.write(insert)
        assert await store.read(later) == [names[2], names[1]]

    run(story, url)


def test_names_that_differ_in_case_accent_width_or_blanks_are_different(url: str) -> None:
    name = new_id()
    variants = (
        name, name.upper(), f"{name}e", f"{name}é", f"{name}\uff45", f"{name} ", f"{name}  ", f" {name}"
    )  # fmt: skip

    def same(tx: Tx, variant: str) -> list[str]:
        return [row.name for row in tx.rows(select(things.c.name).where(things.c.name == variant))]

    async def story(store: Store) -> None:
        for variant in variants:
            await store.write(thing_insert, new_id(), variant)
        for variant in variants:
            assert await store.read(same, variant) == [variant]
        assert await store.read(same, f"{name}   ") == []

    run(story, url)


def test_a_unit_that_fails_is_undone_and_leaves_its_neighbours_alone(url: str) -> None:
    names = [new_id() for _ in range(40)]

    def insert(tx: Tx, number: int) -> None:
        thing_insert(tx, names[number])
        if number % 3 == 0:
            raise KeyError(number)

    async def story(store: Store) -> None:
        told: list[str] = []
        store.subscribe(lambda published: told.extend(event.resource_id for event in published.events))
        answers = await asyncio.gather(
            *(store.write(insert, number) for number in range(40)), return_exceptions=True
        )
        for number, answer in enumerate(answers):
            assert isinstance(answer, KeyError) == (number % 3 == 0)
            assert (await store.read(thing_number, names[number]) is None) == (number % 3 == 0)
        expected = {name for number, name in enumerate(names) if number % 3}
        await until(lambda: expected <= set(told))
        assert set(told) & set(names) == expected

    run(story, url)


def test_an_error_of_the_database_does_not_tell_what_was_to_be_written(url: str) -> None:
    def wrong(tx: Tx) -> None:
        tx.execute(text("INSERT INTO nowhere (a) VALUES (:a)"), {"a": "hush"})

    async def story(store: Store) -> None:
        with pytest.raises(DBAPIError) as caught:
            await store.write(wrong)
        assert "hush" not in str(caught.value)

    run(story, url)


def test_a_statement_of_many_conditions_is_not_remembered(tmp_path: Path) -> None:
    engine = sqlite.open_file(str(tmp_path / "x.db"))
    remembered = engine.get_execution_options()["compiled_cache"]
    with engine.connect() as connection:
        connection.execute(select(literal(1) == literal(1)))
        assert len(remembered) == 1
        connection.execute(select(and_(*(literal(1) == literal(1) for _ in range(900)))))
        connection.execute(select(literal(2) == literal(3)))
        assert len(remembered) == 1


def test_duplicates_are_named_and_another_try_is_possible_in_the_same_unit(url: str) -> None:
    first, second, name = new_id(), new_id(), new_id()

    def retry(tx: Tx) -> str | None:
        try:
            with tx.savepoint():
                thing_insert(tx, second, name)
        except Duplicate as error:
            thing_insert(tx, second)
            return error.constraint
        return None

    async def story(store: Store) -> None:
        told: list[str] = []
        store.subscribe(lambda published: told.extend(event.resource_id for event in published.events))
        await store.write(thing_insert, first, name)
        assert await store.write(retry) == "uq_test_things_name"
        with pytest.raises(Duplicate) as caught:
            await store.write(thing_insert, first)
        assert caught.value.constraint == "pk_test_things"
        await until(lambda: second in told)
        assert told.count(second) == 1, "the event of the part that was undone must not be told"

    run(story, url)


def test_foreign_keys_refuse(url: str) -> None:
    thing = new_id()

    def part_insert(tx: Tx, thing_id: str) -> None:
        tx.insert(parts, [{"id": new_id(), "thing_id": thing_id}])

    def thing_delete(tx: Tx) -> None:
        tx.execute(delete(things).where(things.c.id == thing))

    async def story(store: Store) -> None:
        await store.write(thing_insert, thing)
        await store.write(part_insert, thing)
        with pytest.raises(Referenced):
            await store.write(thing_delete)
        with pytest.raises(Referenced):
            await store.write(part_insert, "nothing")

    run(story, url)


def test_a_reader_cannot_write(url: str) -> None:
    def emit(tx: Tx) -> None:
        tx.emit(Event(kind="thing.create", resource_id="x", at=NOW))

    async def story(store: Store) -> None:
        with pytest.raises(DBAPIError):
            await store.read(lambda tx: tx.execute(ADD_ONE, {"thing": "x"}))
        with pytest.raises(RuntimeError):
            await store.read(emit)
        assert await store.read(thing_number, "x") is None, "the reader still reads"

    run(story, url)


def test_a_cancelled_caller_takes_a_waiting_unit_back_but_not_a_running_one(kind: str, url: str) -> None:
    running, late_thing = new_id(), new_id()
    begun, go_on = threading.Event(), threading.Event()

    def slow(tx: Tx) -> None:
        thing_insert(tx, running)
        begun.set()
        assert go_on.wait(60)

    async def story(store: Store) -> None:
        told: list[str] = []
        store.subscribe(lambda published: told.extend(event.resource_id for event in published.events))
        blocked = [asyncio.create_task(store.write(slow)) for _ in range(1)]
        await asyncio.to_thread(begun.wait, 60)
        # Elsewhere than on SQLite other threads are idle: keep them busy too, so that the next unit waits.
        hold = threading.Event()
        busy: list[Tx] = []

        def keep_busy(tx: Tx) -> None:
            busy.append(tx)
            assert hold.wait(60)

        if kind != "sqlite":
            blocked += [asyncio.create_task(store.write(keep_busy)) for _ in range(7)]
            await until(lambda: len(busy) == 7)
        late = asyncio.create_task(store.write(thing_insert, late_thing))
        await until(lambda: waiting(store) > 0)
        late.cancel()
        blocked[0].cancel()
        await asyncio.gather(late, blocked[0], return_exceptions=True)
        go_on.set()
        hold.set()
        await asyncio.gather(*blocked, return_exceptions=True)
        await until(lambda: running in told)
        assert await store.read(thing_number, running) == 0
        assert await store.read(thing_number, late_thing) is None
        assert late_thing not in told

    run(story, url)


def test_a_named_lock_serialises_read_and_write(url: str) -> None:
    thing = new_id()

    def count(tx: Tx) -> None:
        tx.lock(f"quota:{thing}", "another")
        number = thing_number(tx, thing)
        assert number is not None
        tx.execute(things.update().where(things.c.id == thing).values(number=number + 1))

    async def story(store: Store) -> None:
        await store.write(thing_insert, thing)
        await asyncio.gather(*(store.write(count) for _ in range(60)))
        assert await store.read(thing_number, thing) == 60

    run(story, url)


def test_a_deadlock_is_tried_again(kind: str, url: str) -> None:
    pair = [new_id(), new_id()]
    both = threading.Barrier(2)
    attempts: list[str] = []

    def cross(tx: Tx, first: str, second: str) -> None:
        attempts.append(first)
        tx.execute(ADD_ONE, {"thing": first})
        if kind != "sqlite" and len(attempts) <= 2:
            both.wait(60)
        tx.execute(ADD_ONE, {"thing": second})

    async def story(store: Store) -> None:
        for thing in pair:
            await store.write(thing_insert, thing)
        await asyncio.gather(store.write(cross, *pair), store.write(cross, *reversed(pair)))
        assert [await store.read(thing_number, thing) for thing in pair] == [2, 2]
        assert len(attempts) == 2 if kind == "sqlite" else len(attempts) >= 3

    run(story, url)


def test_a_deadlock_that_the_unit_swallows_is_tried_again_all_the_same(kind: str, url: str) -> None:
    if kind == "sqlite":
        pytest.skip("one writer: SQLite knows no deadlock between units")
    pair = [new_id(), new_id()]
    both = threading.Barrier(2)
    attempts: list[str] = []

    def cross(tx: Tx, first: str, second: str) -> str:
        attempts.append(first)
        tx.execute(ADD_ONE, {"thing": first})
        if len(attempts) <= 2:
            both.wait(60)
        try:
            with tx.savepoint():
                tx.execute(ADD_ONE, {"thing": second})
        except DBAPIError:
            return "swallowed"
        return "done"

    async def story(store: Store) -> None:
        for thing in pair:
            await store.write(thing_insert, thing)
        answers = await asyncio.gather(store.write(cross, *pair), store.write(cross, *reversed(pair)))
        assert answers == ["done", "done"]
        assert [await store.read(thing_number, thing) for thing in pair] == [2, 2]

    run(story, url)


def test_many_units_share_a_commit_on_sqlite(kind: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind != "sqlite":
        pytest.skip("group commit is SQLite's")
    names = [new_id() for _ in range(50)]
    begun, go_on = threading.Event(), threading.Event()

    def slow(tx: Tx) -> None:
        begun.set()
        assert go_on.wait(60)

    async def story(store: Store) -> None:
        await store.write(thing_insert, new_id())
        batches: list[int] = []
        store.subscribe(
            lambda published: batches.append(len(set(names) & {e.resource_id for e in published.events}))
        )
        monkeypatch.setattr(sqlite, "GROUP_S", -1.0)  # the first is a group of its own, however quick this is
        first = asyncio.create_task(store.write(slow))
        await asyncio.to_thread(begun.wait, 60)
        rest = [asyncio.create_task(store.write(thing_insert, name)) for name in names]
        await until(lambda: waiting(store) == 50)
        monkeypatch.setattr(sqlite, "GROUP_S", 10.0)  # the next group takes all, on a busy machine too
        go_on.set()
        await asyncio.gather(first, *rest)
        await until(lambda: sum(batches) == 50)  # who waits for an answer is told apart from who listens
        # The slow one used up its group's time; after it, all that waits goes together.
        assert sum(size > 0 for size in batches) == 1

    run(story, url)


def test_a_connection_lost_before_the_commit_is_replaced_and_the_unit_run_again(kind: str, url: str) -> None:
    if kind == "sqlite":
        pytest.skip("SQLite has no connection to lose")
    thing = new_id()
    attempts: list[int] = []

    def cut(tx: Tx) -> None:
        if kind == "postgresql":
            mine = tx.scalar(text("SELECT pg_backend_pid()"))
            end = f"SELECT pg_terminate_backend({mine})"
        else:
            mine = tx.scalar(text("SELECT CONNECTION_ID()"))
            end = f"KILL {mine}"
        tx.execute(ADD_ONE, {"thing": thing})
        attempts.append(mine)
        if len(attempts) == 1:
            with create_engine(driver_url(url), isolation_level="AUTOCOMMIT").connect() as other:
                other.execute(text(end))
        tx.execute(ADD_ONE, {"thing": thing})

    async def story(store: Store) -> None:
        await store.write(thing_insert, thing)
        await store.write(cut)
        assert len(set(attempts)) == 2
        assert await store.read(thing_number, thing) == 2

    run(story, url)


def test_a_list_of_rows_is_one_statement(url: str) -> None:
    names = [new_id() for _ in range(500)]

    def insert(tx: Tx) -> int:
        tx.insert(things, [])
        tx.insert(
            things, [{"id": name, "name": name, "number": 0, "at": NOW, "data": None} for name in names]
        )
        return tx.statements

    async def story(store: Store) -> None:
        before = store.statements
        assert await store.write(insert) == 1
        assert store.statements == before + 1

    run(story, url)


def test_everybody_is_told_when_the_whole_transaction_of_a_group_is_lost(
    kind: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind != "sqlite":
        pytest.skip("group commit is SQLite's")
    names = [new_id() for _ in range(5)]
    begun, go_on = threading.Event(), threading.Event()

    def slow(tx: Tx) -> None:
        begun.set()
        assert go_on.wait(60)

    def lose(tx: Tx) -> None:
        tx.execute(text("ROLLBACK"))  # as SQLite does by itself when the disk is full
        raise KeyError

    async def story(store: Store) -> None:
        monkeypatch.setattr(sqlite, "GROUP_S", -1.0)  # the first is a group of its own, however quick this is
        first = asyncio.create_task(store.write(slow))
        await asyncio.to_thread(begun.wait, 60)
        rest = [asyncio.create_task(store.write(thing_insert, name)) for name in names]
        rest.append(asyncio.create_task(store.write(lose)))
        await until(lambda: waiting(store) == len(rest))
        monkeypatch.setattr(sqlite, "GROUP_S", 10.0)  # the next group takes all, on a busy machine too
        go_on.set()
        await first
        answers = await asyncio.gather(*rest, return_exceptions=True)
        assert all(isinstance(answer, DatabaseUnavailable) for answer in answers), answers
        assert [await store.read(thing_number, name) for name in names] == [None] * 5
        await store.write(thing_insert, names[0])
        assert await store.read(thing_number, names[0]) == 0

    run(story, url)


def test_a_unit_that_only_reads_locks_nothing(url: str) -> None:
    async def story(store: Store) -> None:
        with pytest.raises(RuntimeError, match="a unit that only reads locks rows of network"):
            await store.read(fetch, NETWORK, [new_id()], (), lock=True)

    run(story, url)
