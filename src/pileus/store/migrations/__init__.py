"""Migrations: how a database comes to have the tables that this code wants.

To add a revision after declaring or changing tables on ``pileus.store.schema.metadata``, run in a checkout::

    python -m pileus.store.migrations network "ports and addresses"

It compares an empty SQLite file at the newest revisions with the tables that ``pileus.services.network``
declares, writes ``network/NNNN_ports_and_addresses.py``, and brings ``network/HEAD`` and ``sqlite.sql`` up to
date. Read the file before committing it: drops of whole tables and moves of data are written by hand
(``--snapshot`` then writes ``sqlite.sql`` anew). A revision touches tables of its own service only. There is
no way back but a backup.

Each service has a line of descent of its own (``lines.py``), and a database records each revision that it has
had (``record.py``): so nothing is lost when the work of two people is merged. An empty SQLite file gets its
tables from ``sqlite.sql``, which is what the revisions make there; Alembic (some 150 ms to import) is needed
only where a revision runs. A test compares both ways with what the code declares, on all three databases.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy import Connection, inspect
from sqlalchemy.engine import make_url

from pileus.store.migrations import collation
from pileus.store.migrations.connections import connected, locked
from pileus.store.migrations.lines import FOLDER, BrokenLine, Revision, heads, known, step_of
from pileus.store.migrations.record import SchemaTooNew, add, begin, is_current, missing, recorded

__all__ = [
    "BrokenLine",
    "Revision",
    "SchemaTooNew",
    "begin",
    "connected",
    "current",
    "heads",
    "known",
    "locked",
    "pending",
    "preload",
    "preload_snapshot",
    "prepare",
    "run",
    "runs_revisions",
    "statements",
    "upgrade",
]

SNAPSHOT = FOLDER / "sqlite.sql"


def prepare(url: str) -> None:
    """Bring the tables up to date, the quick way where there is one; several processes may do so at once.

    Raises SchemaTooNew, BrokenLine.
    """
    with locked(url, unless=is_current) as connection:
        if connection is None:
            return
        had = recorded(connection)
        if not had and connection.dialect.name == "sqlite" and not inspect(connection).get_table_names():
            for statement in statements(_snapshot()):
                connection.exec_driver_sql(statement)
            if not is_current(connection):
                raise BrokenLine("sqlite.sql is not what the revisions make: write it anew with --snapshot")
            return
        begin(connection, had)
        run(connection, missing(had))


@functools.cache
def _snapshot() -> str:
    return SNAPSHOT.read_text()


def preload() -> None:
    """Read the revisions and import what they need, for a process that won't be able to read them later."""
    import alembic.operations.batch
    import alembic.runtime.migration  # noqa: F401 - for the imports' own sake

    _snapshot()
    for revision in known():
        step_of(revision)


def runs_revisions(url: str) -> bool:
    """Whether ``prepare`` would run revisions, for which it needs what ``preload`` imports.

    Raises SchemaTooNew. Not so where nothing is missing, nor for an SQLite file that has no tables yet.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").exists():
        return False
    with connected(url) as connection:
        had = recorded(connection)
        if not had and connection.dialect.name == "sqlite" and not inspect(connection).get_table_names():
            return False
        return not is_current(connection)


def preload_snapshot() -> None:
    """Read what ``prepare`` gives an empty SQLite file, and the names of the revisions."""
    _snapshot()
    known()


def upgrade(url: str) -> list[Revision]:
    """Run the missing revisions and return them. Raises SchemaTooNew, BrokenLine."""
    with locked(url) as connection:
        assert connection is not None
        had = recorded(connection)
        begin(connection, had)
        lacking = missing(had)
        run(connection, lacking)
        return lacking


def current(url: str) -> frozenset[Revision]:
    """The revisions that the database has had; an SQLite file that is not there is not made."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").exists():
        return frozenset()
    with connected(url) as connection:
        return recorded(connection)


def pending(url: str) -> list[Revision]:
    """The revisions that the database does not have yet."""
    return missing(current(url))


def run(connection: Connection, revisions: Sequence[Revision]) -> None:
    """Run revisions, each written down when it is done."""
    if not revisions:
        return
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext

    if connection.dialect.name == "mysql":
        collation.convert(connection)  # a new table can't refer to one of another collation
    with Operations.context(MigrationContext.configure(connection)):
        for revision in revisions:
            step_of(revision)()
            add(connection, [revision])


def statements(script: str) -> Iterator[str]:
    """The statements of a script for SQLite."""
    begun = ""
    for line in script.splitlines(keepends=True):
        begun += line
        if sqlite3.complete_statement(begun):
            yield begun
            begun = ""
