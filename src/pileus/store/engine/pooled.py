"""PostgreSQL and MariaDB: pools of threads and connections, READ COMMITTED, units run again when told to.

A writing unit is one transaction. It is run again from its start after a deadlock, a serialisation failure,
a lock waited for too long or a connection lost before COMMIT, with a growing and random pause, a bounded
number of times. A connection lost *during* COMMIT is another matter: the unit may have been written, so the
caller is told that nobody knows. Reading units run on connections of their own that commit by themselves
(no BEGIN, no ROLLBACK to wait for) and that refuse to write.

Event rows are written at the end of the unit without a position; ``committed`` wakes the relay.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, exc
from sqlalchemy.engine import URL, make_url

from pileus.store.deadline import STATEMENT_TIMEOUT_S
from pileus.store.engine.compiled import Compiled
from pileus.store.engine.unit import Answer, Unit, read_answer
from pileus.store.engine.workers import Workers
from pileus.store.errors import CommitUnknown, DatabaseUnavailable, is_transient, told
from pileus.store.event import events
from pileus.store.plans import Plans
from pileus.store.schema import MARIADB_COLLATION, metadata
from pileus.store.tx import Tx

ATTEMPTS = 10
FIRST_PAUSE_S = 0.005
LONGEST_PAUSE_S = 0.3
LOCK_WAIT_S = 10
CONNECT_TIMEOUT_S = 5

_POSTGRESQL_SESSION = f"-c lock_timeout={LOCK_WAIT_S}s -c timezone=UTC"
_MARIADB_SESSION = (
    f"SET SESSION innodb_lock_wait_timeout={LOCK_WAIT_S}, time_zone='+00:00', "
    "sql_mode='STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE,NO_ZERO_IN_DATE'"
)


def driver_url(url: str) -> URL:
    """``postgresql://`` and ``mariadb://`` (or ``mysql://``) with the drivers that Pileus uses."""
    parsed = make_url(url)
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend in ("mariadb", "mysql"):
        # The dialect's name is then "mysql" everywhere, also where SQLAlchemy picks variants of types.
        return parsed.set(drivername="mysql+pymysql")
    raise ValueError(f"no database of ours: {backend}")


def open_server(
    url: URL, size: int, *, read_only: bool = False, statement_timeout_s: float | None = None
) -> Engine:
    """SQLAlchemy's engine with a pool of ``size`` connections, opened when needed."""
    arguments: dict[str, Any]
    timeout = ""
    if url.get_backend_name() == "postgresql":
        if statement_timeout_s is not None:
            timeout = f" -c statement_timeout={math.ceil(statement_timeout_s * 1000)}"
        options = (
            _POSTGRESQL_SESSION + timeout + (" -c default_transaction_read_only=on" if read_only else "")
        )
        arguments = {"options": options, "connect_timeout": CONNECT_TIMEOUT_S, "application_name": "pileus"}
    else:
        if statement_timeout_s is not None:
            timeout = f", SESSION max_statement_time={statement_timeout_s:.3f}"
        arguments = {
            "init_command": _MARIADB_SESSION + timeout + (", SESSION tx_read_only=ON" if read_only else ""),
            "connect_timeout": CONNECT_TIMEOUT_S,
            "charset": "utf8mb4",
            "collation": MARIADB_COLLATION,
        }
    return create_engine(
        url,
        pool_size=size,
        max_overflow=0,
        pool_use_lifo=True,
        pool_reset_on_return=None,  # every path below ends its transaction itself
        execution_options={"compiled_cache": Compiled()},
        hide_parameters=True,  # what is written may be secret, and errors are logged
        isolation_level="AUTOCOMMIT" if read_only else "READ COMMITTED",
        connect_args=arguments,
    )


class PooledEngine:
    """Units of work on a database server; ``committed()`` runs in the loop after events were committed."""

    positions_in_commit = False

    def __init__(
        self,
        url: str,
        loop: asyncio.AbstractEventLoop,
        committed: Callable[[], None],
        writers: int = 8,
        readers: int = 4,
        statement_timeout_s: float = STATEMENT_TIMEOUT_S,
    ) -> None:
        parsed = driver_url(url)
        self.dialect = parsed.get_backend_name()
        self.statements = 0
        self.unified_limits: str | None = None
        self._committed = committed
        self._dice = random.Random()  # noqa: S311 - pauses, nothing secret
        self._write_pool = open_server(parsed, writers, statement_timeout_s=statement_timeout_s)
        self._read_pool = open_server(
            parsed, readers, read_only=True, statement_timeout_s=statement_timeout_s
        )
        self._write_plans = Plans(self._write_pool.dialect)
        self._read_plans = Plans(self._read_pool.dialect)
        self._writers = Workers("store-writer", writers, loop, self._write, self._finish, _nothing)
        self._readers = Workers("store-reader", readers, loop, self._read, self._give, _nothing)

    def write(self, unit: Unit) -> None:
        self._writers.submit(unit)

    def read(self, unit: Unit) -> None:
        self._readers.submit(unit)

    def close(self) -> None:
        """Finish what is queued, end the threads, close the connections. Blocks."""
        self._writers.close()
        self._readers.close()
        self._write_pool.dispose()
        self._read_pool.dispose()

    def _write(self, unit: Unit) -> Answer:
        return self._retry(unit, lambda: self._write_once(unit))

    def _read(self, unit: Unit) -> Answer:
        return self._retry(unit, lambda: self._read_once(unit))

    def _retry(self, unit: Unit, attempt: Callable[[], Answer]) -> Answer:
        for number in range(ATTEMPTS):
            try:
                return attempt()
            except exc.DBAPIError as error:
                if not is_transient(error):
                    return Answer(unit, error=told(error, metadata))
                last: BaseException = error
            except BaseException as error:
                return Answer(unit, error=error)
            time.sleep(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**number) * self._dice.random())
        answer = Answer(unit, error=DatabaseUnavailable(reason=last))
        assert answer.error is not None
        answer.error.__cause__ = last
        return answer

    def _write_once(self, unit: Unit) -> Answer:
        with self._write_pool.connect() as connection:
            connection.begin()  # plans run on the driver's connection, which says nothing to SQLAlchemy
            tx = Tx(
                connection,
                self.dialect,
                connection.exec_driver_sql,
                plans=self._write_plans,
                unified_limits=self.unified_limits,
            )
            try:
                result = unit.run(tx)
                if tx.events and tx.lost is None:
                    tx.insert(events, [row for _, row in tx.events])
            except BaseException as error:
                _rollback(connection)
                if tx.lost is not None and error is not tx.lost:
                    raise tx.lost from error  # the unit turned the database's word into its own
                raise
            if tx.lost is not None:
                _rollback(connection)
                raise tx.lost
            try:
                connection.commit()
            except exc.DBAPIError as error:
                if error.connection_invalidated:
                    raise CommitUnknown from error
                _rollback(connection)
                raise
        return Answer(unit, result, statements=tx.statements, has_events=bool(tx.events))

    def _read_once(self, unit: Unit) -> Answer:
        with self._read_pool.connect() as connection:
            return read_answer(
                unit,
                Tx(
                    connection,
                    self.dialect,
                    connection.exec_driver_sql,
                    plans=self._read_plans,
                    unified_limits=self.unified_limits,
                    read_only=True,
                ),
            )

    def _finish(self, answers: Sequence[Answer]) -> None:
        if any(answer.has_events for answer in answers):
            self._committed()
        self._give(answers)

    def _give(self, answers: Sequence[Answer]) -> None:
        for answer in answers:
            self.statements += answer.statements
            answer.give()


def _rollback(connection: Connection) -> None:
    """Roll back; a connection that is gone has done so by itself."""
    try:
        connection.rollback()
    except exc.DBAPIError:
        connection.invalidate()


def _nothing() -> None:
    return None
