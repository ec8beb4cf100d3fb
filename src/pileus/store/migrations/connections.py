"""Connections for migrations: one process at a time changes a database's tables."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy import Connection, Engine, text
from sqlalchemy.engine import make_url

from pileus.core.errors import Unavailable
from pileus.store.engine.pooled import driver_url, open_server
from pileus.store.engine.sqlite import connect, open_file

Test = Callable[[Connection], bool]

_PG_LOCK = 0x70696C657573  # "pileus"
_LOCK_WAIT_S = 600


@contextlib.contextmanager
def connected(url: str) -> Iterator[Connection]:
    """A connection for looking, without a lock."""
    engine = _engine(url)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _engine(url: str) -> Engine:
    if make_url(url).get_backend_name() == "sqlite":
        return open_file(make_url(url).database or "")
    return open_server(driver_url(url), 1)


@contextlib.contextmanager
def locked(url: str, unless: Test | None = None) -> Iterator[Connection | None]:
    """A connection in a transaction that one process at a time has; committed at the end.

    Yields None, without waiting for anyone, where ``unless`` says so of the database.
    """
    path = make_url(url).database or ""
    if make_url(url).get_backend_name() == "sqlite":
        if path and not Path(path).exists():
            # Password hashes will be in it: nobody else reads it, nor the log beside it.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        with _sqlite_locked(path, unless) as connection:
            yield connection
        return
    engine = _engine(url)
    try:
        with engine.connect() as connection:
            if unless is not None and unless(connection):
                connection.rollback()
                yield None
                return
            connection.rollback()
            with connection.begin(), _server_lock(connection):
                yield connection
    finally:
        engine.dispose()


@contextlib.contextmanager
def _sqlite_locked(path: str, unless: Test | None) -> Iterator[Connection | None]:
    engine = open_file(path)
    connection, raw = connect(engine)
    try:
        if unless is not None and unless(connection):
            yield None
            return
        # A table is altered by making it anew; keys that refer to it must not act meanwhile, and this
        # can't be said inside a transaction.
        raw.execute("PRAGMA foreign_keys = OFF")
        raw.execute(f"PRAGMA busy_timeout = {_LOCK_WAIT_S * 1000}")
        raw.execute("BEGIN IMMEDIATE")
        if not connection.in_transaction():
            connection.begin()  # for SQLAlchemy's books only
        try:
            yield connection
            broken = raw.execute("PRAGMA foreign_key_check").fetchall()
            if broken:
                raise RuntimeError(f"a migration has left rows that refer to nothing: {broken[:5]}")
            raw.execute("COMMIT")
        except BaseException:
            if raw.in_transaction:
                raw.execute("ROLLBACK")
            raise
    finally:
        connection.close()
        engine.dispose()


@contextlib.contextmanager
def _server_lock(connection: Connection) -> Iterator[None]:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET lock_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _PG_LOCK})
        yield
        return
    # MariaDB ends a transaction at each CREATE, so the lock belongs to the connection.
    name = f"pileus-migrate-{connection.engine.url.database}"[:64]
    got = connection.execute(text("SELECT GET_LOCK(:name, :wait)"), {"name": name, "wait": _LOCK_WAIT_S})
    if got.scalar() != 1:
        raise Unavailable("Another process has been migrating the database for too long.")
    try:
        yield
    finally:
        connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": name})
