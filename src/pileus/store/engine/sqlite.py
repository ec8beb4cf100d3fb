"""SQLite: one writer thread with group commit, readers beside it on the write-ahead log.

A commit that survives a power cut costs a wait for the disk, a unit of work does not. So the writer takes
what is queued, runs it in one transaction with a savepoint for each unit, commits once, and only then
answers. A unit that fails is rolled back alone. The writer never waits for more units to come: while it
commits, the next ones queue by themselves.

Events of the whole group are written and given their positions just before the commit. After it, in the
event loop, subscribers are told first and callers answered next; neither depends on a caller that still
waits. Readers hold one connection each and see the newest commit at the moment they begin.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, exc
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from pileus.store.deadline import STATEMENT_TIMEOUT_S, Deadline
from pileus.store.engine.compiled import Compiled
from pileus.store.engine.unit import Answer, Unit, deliver, read_answer
from pileus.store.engine.workers import Workers
from pileus.store.errors import DatabaseUnavailable, StatementTimeout, told
from pileus.store.event import Event
from pileus.store.events import events_write
from pileus.store.plans import Plans
from pileus.store.schema import metadata
from pileus.store.tx import Tx

GROUP_UNITS = 64
GROUP_S = 0.005  # nobody's commit waits longer than this for the units of others
# What a process of long service holds. A compiled statement takes some 30 KiB, and SQLAlchemy lets half as
# many more gather before it forgets; a prepared one takes 8 KiB in each connection.
PREPARED = 256
WRITER_PAGES_KIB, READER_PAGES_KIB = 8000, 4000
BUSY_TIMEOUT_MS = 10_000  # for another process on the same file, such as a migration


def open_file(path: str) -> Engine:
    """SQLAlchemy's engine on a file; all its connections share what has been compiled."""
    if not path or path == ":memory:":
        raise ValueError("SQLite needs a file: readers and the writer have a connection each")
    return create_engine(
        URL.create("sqlite", database=path),
        poolclass=NullPool,
        execution_options={"compiled_cache": Compiled()},
        hide_parameters=True,  # what is written may be secret, and errors are logged
        connect_args={"isolation_level": None, "check_same_thread": False, "cached_statements": PREPARED},
    )


def connect(engine: Engine, *, read_only: bool = False) -> tuple[Connection, sqlite3.Connection]:
    """A connection of SQLAlchemy's and the driver's own below it, without the driver's hidden BEGINs.

    Transactions are begun and ended on the driver's connection; SQLAlchemy only runs statements on it.
    """
    connection = engine.connect()
    connection.begin()  # to SQLAlchemy all is one transaction, so that it never ends one by itself
    raw = connection.connection.dbapi_connection
    assert isinstance(raw, sqlite3.Connection)
    raw.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    raw.execute("PRAGMA journal_mode = WAL")
    raw.execute("PRAGMA synchronous = FULL")
    raw.execute("PRAGMA foreign_keys = ON")
    raw.execute("PRAGMA temp_store = MEMORY")
    raw.execute(f"PRAGMA cache_size = -{READER_PAGES_KIB if read_only else WRITER_PAGES_KIB}")
    if read_only:
        raw.execute("PRAGMA query_only = ON")
    return connection, raw


class _TransactionEnded(Exception):
    """A unit's statement took too long, and SQLite rolled back the whole group's transaction."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.answer = answer


class SqliteEngine:
    """Units of work on one SQLite file. ``committed(events)`` is called in the loop after each commit."""

    dialect = "sqlite"
    positions_in_commit = True

    def __init__(
        self,
        path: str,
        loop: asyncio.AbstractEventLoop,
        committed: Callable[[Sequence[Event]], None],
        published: Callable[[], int],
        readers: int = 4,
        statement_timeout_s: float = STATEMENT_TIMEOUT_S,
    ) -> None:
        self._timeout_s = statement_timeout_s
        self._engine = open_file(path)
        self._loop = loop
        self._committed = committed
        self._published = published
        self._queue: queue.SimpleQueue[Unit | None] = queue.SimpleQueue()
        self._local = threading.local()
        self.statements = 0
        self.unified_limits: str | None = None
        self._plans = Plans(self._engine.dialect)
        self._connection, self._raw = connect(self._engine)
        self._deadline = Deadline(self._raw, statement_timeout_s)
        self._writer = threading.Thread(target=self._write_forever, name="store-writer", daemon=True)
        self._writer.start()
        self._readers = Workers("store-reader", readers, loop, self._read, self._give, self._leave)

    def write(self, unit: Unit) -> None:
        self._queue.put(unit)

    def read(self, unit: Unit) -> None:
        self._readers.submit(unit)

    def close(self) -> None:
        """Commit what is queued and end the threads. Blocks."""
        self._queue.put(None)
        self._writer.join()
        self._readers.close()

    def _write_forever(self) -> None:
        while (unit := self._queue.get()) is not None:
            if not unit.is_abandoned:
                self._group(self._queued(unit))
        self._connection.close()

    def _group(self, source: Iterator[Unit]) -> None:
        """Run the units in one transaction, and answer; those that another's end takes with it run again."""
        raw = self._raw
        units = [next(source)]
        answers: list[Answer] = []
        events: list[Event] = []
        repeated: list[Unit] = []
        try:
            raw.execute("BEGIN IMMEDIATE")
            rows = []
            for unit in itertools.chain(units[:], source):
                if unit is not units[0]:
                    units.append(unit)
                tx = Tx(
                    self._connection,
                    self.dialect,
                    raw.execute,
                    self._deadline,
                    plans=self._plans,
                    unified_limits=self.unified_limits,
                )
                answers.append(self._run(unit, tx))
                rows += tx.events
            if rows:
                tx = Tx(self._connection, self.dialect, raw.execute, plans=self._plans)
                events = events_write(tx, rows, self._published())
                self.statements += tx.statements
            raw.execute("COMMIT")
        except _TransactionEnded as ended:
            events = []
            answers = [ended.answer]
            repeated = [unit for unit in units if unit is not ended.answer.unit and not unit.is_abandoned]
        except Exception as error:
            events = []
            with contextlib.suppress(sqlite3.Error):
                raw.execute("ROLLBACK")
            reason: Exception = error
            if isinstance(error, sqlite3.Error | exc.DBAPIError):
                reason = DatabaseUnavailable(reason=error)
                reason.__cause__ = error
            answers = [Answer(unit, error=reason) for unit in units]
        deliver(self._loop, lambda done: self._finish(events, done), answers)
        if repeated:
            self._group(iter(repeated))

    def _queued(self, first: Unit) -> Iterator[Unit]:
        """The first unit, and those that wait already, up to the bounds of a group."""
        until = time.monotonic() + GROUP_S
        yield first
        for _ in range(GROUP_UNITS - 1):
            if time.monotonic() > until:
                return
            try:
                unit = self._queue.get_nowait()
            except queue.Empty:
                return
            if unit is None:
                self._queue.put(None)  # the end: commit this group first
                return
            if not unit.is_abandoned:
                yield unit

    def _run(self, unit: Unit, tx: Tx) -> Answer:
        raw = self._raw
        raw.execute("SAVEPOINT unit")
        result, error = None, None
        try:
            result = unit.run(tx)
        except BaseException as raised:
            error = told(raised, metadata)
        finally:
            self._deadline.stop()
        if tx.lost is not None:
            error = tx.lost  # whatever the unit made of it
        if error is None:
            raw.execute("RELEASE unit")
            return Answer(unit, result, statements=tx.statements)
        tx.events.clear()
        answer = Answer(unit, error=error, statements=tx.statements)
        if not raw.in_transaction:
            if isinstance(error, StatementTimeout):
                raise _TransactionEnded(answer)
            # A full disk and the like end the whole transaction: the others of the group are gone too.
            raise DatabaseUnavailable(reason=error) from error
        raw.execute("ROLLBACK TO unit")
        raw.execute("RELEASE unit")
        return answer

    def _finish(self, events: Sequence[Event], answers: Sequence[Answer]) -> None:
        if events:
            self._committed(events)
        self._give(answers)

    def _give(self, answers: Sequence[Answer]) -> None:
        for answer in answers:
            self.statements += answer.statements
            answer.give()

    def _read(self, unit: Unit) -> Answer:
        raw = None
        try:
            connection, raw, deadline = self._reader()
            tx = Tx(
                connection,
                self.dialect,
                raw.execute,
                deadline,
                plans=self._plans,
                unified_limits=self.unified_limits,
                read_only=True,
            )
            raw.execute("BEGIN")
            return read_answer(unit, tx)
        except BaseException as error:
            return Answer(unit, error=told(error, metadata))
        finally:
            if raw is not None and raw.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    raw.execute("ROLLBACK")

    def _reader(self) -> tuple[Connection, sqlite3.Connection, Deadline]:
        held: tuple[Connection, sqlite3.Connection, Deadline] | None
        held = getattr(self._local, "connection", None)
        if held is None:
            connection, raw = connect(self._engine, read_only=True)
            held = self._local.connection = connection, raw, Deadline(raw, self._timeout_s)
        return held

    def _leave(self) -> None:
        held: Any = getattr(self._local, "connection", None)
        if held is not None:
            held[0].close()
