"""A statement that takes too long ends; its unit is undone, and nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from sqlalchemy import or_, select, text
from tests.store.things import GET, new_id, run, thing_insert, thing_number, things, until

from pileus.store import Store, Tx, migrations
from pileus.store.errors import StatementTimeout, TooComplex

FOR_EVER = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
    "postgresql": "SELECT pg_sleep(600)",
    "mysql": "SELECT sleep(600)",
}
WRITING_FOR_EVER = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) "
    "INSERT INTO test_things (id, name, number) SELECT 'n' || i, 'n' || i, i FROM n",
    "postgresql": "INSERT INTO test_things (id, name, number) SELECT 'n', 'n', 1 FROM pg_sleep(600)",
    "mysql": "INSERT INTO test_things (id, name, number) SELECT 'n', 'n', sleep(600)",
}
SOON_S = 1.0
"""Longer than a short statement takes on a busy machine, since each of them has this deadline too."""


def for_ever(tx: Tx) -> None:
    tx.rows(text(FOR_EVER[tx.dialect]))


def rows_for_ever(tx: Tx) -> None:
    """Rows are fetched one after the other, and no single one takes long (SQLite)."""
    statement = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
    for _ in tx.execute(text(statement if tx.dialect == "sqlite" else FOR_EVER[tx.dialect])):
        pass


def write_for_ever(tx: Tx, thing: str) -> None:
    thing_insert(tx, thing)
    tx.execute(text(WRITING_FOR_EVER[tx.dialect]))


def swallow(tx: Tx, thing: str) -> str:
    try:
        write_for_ever(tx, thing)
    except Exception as error:
        return str(error)
    return ""


def in_a_savepoint(tx: Tx, thing: str) -> None:
    thing_insert(tx, thing)
    with tx.savepoint():
        tx.execute(text(WRITING_FOR_EVER[tx.dialect]))


@pytest.mark.parametrize("work", [for_ever, rows_for_ever])
def test_readers_are_free_again(url: str, work: Callable[[Tx], None]) -> None:
    async def story(store: Store) -> None:
        asked = [store.read(work) for _ in range(9)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(answer) for answer in answers] == [StatementTimeout] * 9
        assert await store.read(lambda tx: tx.first(GET, {"thing": "none"})) is None

    run(story, url, statement_timeout_s=SOON_S)


@pytest.mark.parametrize("work", [write_for_ever, swallow, in_a_savepoint])
def test_a_writer_is_undone_and_its_neighbours_are_written_once(
    url: str, work: Callable[[Tx, str], object]
) -> None:
    undone, others = new_id(), [new_id() for _ in range(20)]

    async def story(store: Store) -> None:
        told: list[str] = []
        store.subscribe(lambda published: told.extend(event.resource_id for event in published.events))
        answers = await asyncio.gather(
            *(store.write(thing_insert, one) for one in others[:10]),
            store.write(work, undone),
            *(store.write(thing_insert, one) for one in others[10:]),
            return_exceptions=True,
        )
        assert isinstance(answers.pop(10), StatementTimeout)
        assert answers == others
        assert await store.read(thing_number, undone) is None
        last = await store.write(thing_insert, new_id())
        await until(lambda: last in told)
        assert sorted(told) == sorted([*others, last])

    run(story, url, statement_timeout_s=SOON_S, poll_s=0.02)


def test_a_read_of_a_writer_that_takes_too_long_undoes_it_alone(url: str) -> None:
    undone, other = new_id(), new_id()

    def work(tx: Tx) -> None:
        thing_insert(tx, undone)
        for_ever(tx)

    async def story(store: Store) -> None:
        answers = await asyncio.gather(
            store.write(work), store.write(thing_insert, other), return_exceptions=True
        )
        assert isinstance(answers[0], StatementTimeout) and answers[1] == other
        assert await store.read(thing_number, undone) is None

    run(story, url, statement_timeout_s=SOON_S)


def test_a_unit_of_many_short_statements_has_no_deadline(url: str) -> None:
    async def story(store: Store) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + 3 * SOON_S

        def work(tx: Tx) -> int:
            asked = 0
            while loop.time() < until:
                tx.first(GET, {"thing": "none"})
                asked += 1
            return asked

        assert await store.read(work) > 3
        assert await store.write(work) >= 0

    run(story, url, statement_timeout_s=SOON_S)


def test_migrations_have_all_the_time_that_they_need(url: str) -> None:
    asked = {
        "postgresql": "SHOW statement_timeout",
        "mysql": "SELECT @@SESSION.max_statement_time + 0",
    }
    with migrations.connected(url) as connection:
        if connection.dialect.name in asked:
            assert int(connection.execute(text(asked[connection.dialect.name])).scalar_one()) == 0


def test_more_conditions_than_a_statement_can_hold_are_the_callers_mistake(url: str) -> None:
    chain = select(things.c.id).where(or_(*(things.c.number == number for number in range(5000))))

    async def story(store: Store) -> None:
        if store.dialect == "sqlite":
            with pytest.raises(TooComplex):
                await store.read(lambda tx: tx.rows(chain))
        else:
            await store.read(lambda tx: tx.rows(chain))

    run(story, url)
