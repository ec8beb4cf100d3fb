"""Plans: a statement that is kept answers the same when SQLAlchemy runs it and when its plan does."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import (
    Boolean,
    Executable,
    bindparam,
    delete,
    func,
    literal,
    null,
    select,
    type_coerce,
    union_all,
    update,
)
from tests.store.things import GET, NOW, new_id, run, thing_insert, thing_number, things

from pileus.store import Duplicate, Store, Tx
from pileus.store.engine.pooled import PooledEngine
from pileus.store.upsert import upsert

RUNS = 4
"""The first is SQLAlchemy's; the plan is made at the second."""

_ALL_OF = select(things).where(things.c.id.in_(bindparam("ids", expanding=True))).order_by(things.c.id)
_NAMED = (
    select(
        things.c.id.label("key"),
        things.c.at,
        type_coerce(things.c.number, Boolean).label("is_more"),
        func.upper(things.c.name),
        literal("x%y"),
        null(),
    )
    .where(things.c.name.like("%\\%%", escape="\\"), things.c.id == bindparam("thing"))
    .limit(bindparam("count"))
)
_BOTH = union_all(
    select(things.c.id, things.c.data).where(things.c.id == bindparam("thing")),
    select(things.c.name, things.c.data).where(things.c.id.in_(bindparam("thing_ids", expanding=True))),
).order_by("id")
_COUNT = select(func.count()).select_from(things).where(things.c.name == bindparam("wanted", "none"))


def _lengths(thing: str, other: str) -> list[tuple[Executable, Mapping[str, Any]]]:
    return [
        (GET, {"thing": thing}),
        (GET, {"thing": "nothing"}),
        (_ALL_OF, {"ids": [thing]}),
        (_ALL_OF, {"ids": [other, thing]}),
        (_ALL_OF, {"ids": (thing, "nothing", other)}),
        (_ALL_OF, {"ids": []}),
        (_ALL_OF, {"ids": [thing, *map(str, range(100))]}),
        (_NAMED, {"thing": thing, "count": 1}),
        (_BOTH, {"thing": thing, "thing_ids": [thing, other]}),
        (_BOTH, {"thing": thing, "thing_ids": []}),
        (_COUNT, {"wanted": "100% of it"}),
        (_COUNT, {}),
    ]


def _filled(tx: Tx) -> tuple[str, str]:
    thing, other = sorted((new_id(), new_id()))
    data = {"a": [1, None, "ü"]}
    row = {"name": f"100% of {thing}", "number": 3, "at": NOW, "data": data}
    tx.insert(things, [{"id": thing, **row}])
    tx.insert(things, [{"id": other, **row, "name": f"%{other}", "at": None, "data": None}])
    return thing, other


def test_rows_are_the_same_with_a_plan_and_without(url: str) -> None:
    def plain(tx: Tx, statement: Executable, given: Mapping[str, Any]) -> list[Any]:
        return list(tx.execute(statement, given).all())

    async def story(store: Store) -> None:
        thing, other = await store.write(_filled)
        for statement, given in _lengths(thing, other):
            expected = await store.read(plain, statement, given)
            for _ in range(RUNS):
                found = await store.read(Tx.rows, statement, given)
                assert found == expected
                assert [row._asdict() for row in found] == [row._asdict() for row in expected]
                first = await store.read(Tx.first, statement, given)
                assert first == (expected[0] if expected else None)
                scalar = await store.read(Tx.scalar, statement, given)
                assert scalar == (expected[0][0] if expected else None)

    run(story, url)


def test_a_plan_counts_as_one_statement_and_is_in_the_transaction(url: str) -> None:
    def unit(tx: Tx, thing: str) -> tuple[int, list[Any]]:
        before = tx.statements
        tx.insert(things, [{"id": thing, "name": thing, "number": 0, "at": NOW, "data": None}])
        found = tx.rows(GET, {"thing": thing})
        assert tx.statements == before + 2
        raise RuntimeError(found[0].name)

    async def story(store: Store) -> None:
        for _ in range(RUNS):
            thing = new_id()
            with pytest.raises(RuntimeError, match=thing):
                await store.write(unit, thing)
            assert await store.read(thing_number, thing) is None

    run(story, url)


def test_what_a_driver_refuses_is_told_as_ever(url: str) -> None:
    async def story(store: Store) -> None:
        thing = new_id()
        await store.write(thing_insert, thing)
        for _ in range(RUNS):
            with pytest.raises(Duplicate) as refused:
                await store.write(thing_insert, thing, new_id())
            assert refused.value.constraint == "pk_test_things"
            with pytest.raises(Exception, match=r"wanted|thing"):
                await store.read(Tx.rows, GET, {})
        with pytest.raises(Exception, match="thing"):  # nothing was left behind that would refuse the next
            await store.read(Tx.rows, GET, {"other": thing})
        assert await store.read(thing_number, thing) == 0

    run(story, url)


def test_a_lost_connection_leaves_the_pool(url: str) -> None:
    """The plan's error goes the way of SQLAlchemy's: the next unit gets a connection that is alive."""

    async def story(store: Store) -> None:
        engine = store._engine
        if not isinstance(engine, PooledEngine):
            pytest.skip("SQLite has no connection to lose")
        thing = new_id()
        await store.write(thing_insert, thing)
        for _ in range(RUNS):
            await store.write(thing_number, thing)

        cuts = []

        def cut(tx: Tx) -> int | None:
            if not cuts:
                raw: Any = tx._connection.connection.dbapi_connection
                raw._force_close() if hasattr(raw, "_force_close") else raw.close()
            cuts.append(thing)
            return thing_number(tx, thing)

        assert await store.write(cut) == 0
        assert len(cuts) == 2

    run(story, url)


def test_a_statement_that_is_made_for_one_run_keeps_nothing(url: str) -> None:
    async def story(store: Store) -> None:
        plans = store._engine._read_plans if isinstance(store._engine, PooledEngine) else store._engine._plans
        await store.read(Tx.rows, GET, {"thing": "x"})
        known = len(plans._known)
        for number in range(20):
            await store.read(Tx.rows, select(things.c.id).where(things.c.number == number))
        gc.collect()  # statements are parts of circles
        assert len(plans._known) < known + 10  # each thread still has its last one

    run(story, url)


def test_many_threads_make_one_plan(url: str) -> None:
    statement = select(things.c.name).where(things.c.id.in_(bindparam("ids", expanding=True)))

    async def story(store: Store) -> None:
        made = [new_id() for _ in range(8)]
        for thing in made:
            await store.write(thing_insert, thing)

        async def names(count: int) -> None:
            found = await store.read(Tx.rows, statement, {"ids": made[:count]})
            assert sorted(row.name for row in found) == sorted(made[:count])

        await asyncio.gather(*(names(count % 9) for count in range(60)))

    run(story, url)


_RAISE = (
    update(things)
    .where(things.c.id.in_(bindparam("ids", expanding=True)))
    .values(number=things.c.number + bindparam("by"), data=bindparam("said"))
)
_RENAME = update(things).where(things.c.id == bindparam("key")).values(name=bindparam("to"))
_INSERT = things.insert()
_DROP = delete(things).where(things.c.name == bindparam("wanted"))


def test_changes_are_the_same_with_a_plan_and_without(url: str) -> None:
    """Rows, counts of rows, and refusals; at the first run, and when there are plans."""

    def unit(tx: Tx) -> list[Any]:
        tx.execute(things.delete())
        thing, other = sorted((new_id(), new_id()))
        row = {"number": 1, "at": NOW, "data": None}
        before = tx.statements
        for _ in range(2):
            tx.execute(
                upsert(tx.dialect, things, ("name", "number")),
                [{"id": one, "name": f"{number}%", **row} for number, one in enumerate((thing, other))],
            )
        assert tx.statements == before + 2
        counts = [
            tx.execute(_RAISE, {"ids": ids, "by": 5, "said": {"a": "ü"}}).rowcount
            for ids in ([thing], [thing, other], [], ["nothing", other])
        ]
        counts.append(tx.execute(_RENAME, {"key": "nothing", "to": "x"}).rowcount)
        tx.execute(_RENAME, [{"key": thing, "to": "new"}, {"key": other, "to": "other"}])
        with pytest.raises(Duplicate), tx.savepoint():
            tx.execute(_INSERT, {"id": thing, "name": "twice", **row})
        rows = tx.rows(
            select(things.c.name, things.c.number, things.c.data, things.c.at).order_by(things.c.id)
        )
        counts.append(tx.execute(_DROP, {"wanted": "other"}).rowcount)
        counts.append(tx.execute(_DROP, {"wanted": "other"}).rowcount)
        with pytest.raises(Exception, match=r"wanted|named|bind|required"):
            tx.execute(_DROP, {})
        return [*map(tuple, rows), *counts]

    async def story(store: Store) -> None:
        expected = [("new", 11, {"a": "ü"}, NOW), ("other", 11, {"a": "ü"}, NOW), 1, 2, 0, 1, 0, 1, 0]
        for _ in range(RUNS):
            assert await store.write(unit) == expected
        engine = store._engine
        plans = engine._write_plans if isinstance(engine, PooledEngine) else engine._plans
        assert all(plans._changes[one] for one in (_RAISE, _RENAME, _DROP))

    run(story, url)
