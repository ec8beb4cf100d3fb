"""Tables, units of work and a store for the tests of the store."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from sqlalchemy import Column, ForeignKey, Integer, Table, UniqueConstraint, bindparam, select, update
from tests.waiting import until

from pileus.store import Event, Store, Tx
from pileus.store.schema import Id, JsonText, Moment, Name, metadata

__all__ = [
    "ADD_ONE",
    "GET",
    "NOW",
    "RUN_S",
    "TABLES",
    "new_id",
    "opened",
    "parts",
    "run",
    "thing_insert",
    "thing_number",
    "things",
    "until",
    "waiting",
]

RUN_S = 120
NOW = dt.datetime(2026, 3, 4, 5, 6, 7, 80910)

things = Table(
    "test_things",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Name, nullable=False),
    Column("number", Integer, nullable=False, default=0),
    Column("at", Moment),
    Column("data", JsonText),
    UniqueConstraint("name"),
)
parts = Table(
    "test_parts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("thing_id", Id, ForeignKey("test_things.id"), nullable=False),
)
TABLES = [things, parts]

_ids = itertools.count(1)

GET = select(things).where(things.c.id == bindparam("thing"))
ADD_ONE = update(things).where(things.c.id == bindparam("thing")).values(number=things.c.number + 1)


def new_id() -> str:
    """An id that no other test uses."""
    return f"thing-{next(_ids)}"


def thing_insert(tx: Tx, thing: str, name: str | None = None, scopes: tuple[str, ...] = ()) -> str:
    """A thing with an event."""
    tx.insert(things, [{"id": thing, "name": name or thing, "number": 0, "at": NOW, "data": None}])
    tx.emit(Event(kind="thing.create", resource_id=thing, at=NOW, scopes=scopes))
    return thing


def thing_number(tx: Tx, thing: str) -> int | None:
    """Its number, or None where there is no such thing."""
    row = tx.first(GET, {"thing": thing})
    return None if row is None else int(row.number)


@contextlib.asynccontextmanager
async def opened(url: str, **keywords: Any) -> AsyncIterator[Store]:
    """A store that is closed at the end."""
    store = await Store.open(url, migrate=False, **keywords)
    try:
        yield store
    finally:
        await store.close()


def run(story: Callable[[Store], Coroutine[Any, Any, None]], url: str, **keywords: Any) -> None:
    """Run a story with an open store, for two minutes at most."""

    async def main() -> None:
        async with asyncio.timeout(RUN_S), opened(url, **keywords) as store:
            await story(store)

    asyncio.run(main())


def waiting(store: Store) -> int:
    """How many units wait for a thread that writes."""
    engine: Any = store._engine
    return int((engine if store.dialect == "sqlite" else engine._writers)._queue.qsize())
