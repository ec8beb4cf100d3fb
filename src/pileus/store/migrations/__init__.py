"""Migrations: how a database comes to have the tables that this code wants.

To add a revision after declaring or changing tables on ``pileus.store.schema.metadata``, run in a checkout::

    python -m pileus.store.migrations "ports and addresses" pileus.services

It brings an empty SQLite file to the newest revision, compares it with the tables of the named packages (all
modules in them), and writes ``versions/NNNN_ports_and_addresses.py``. Read the file before committing it:
drops of whole tables and moves of data are written by hand. There is no way back but a backup.

Revisions are numbered in one line, and the newest number is the head; so a start sees that nothing is to be
done without importing Alembic (some 150 ms). An SQLite file without any table gets them all from the metadata
at once; a test compares both ways with the metadata on all three databases.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import pkgutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, MetaData, inspect, text
from sqlalchemy.engine import make_url

from pileus.core.errors import Unavailable
from pileus.store import schema
from pileus.store.engine.pooled import driver_url, open_server
from pileus.store.engine.sqlite import connect, open_file
from pileus.store.migrations import collation

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

FOLDER = Path(__file__).parent
VERSIONS = FOLDER / "versions"

_PG_LOCK = 0x70696C657573  # "pileus"
_LOCK_WAIT_S = 600
_VERSION_TABLE = "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"


class SchemaTooNew(Unavailable):
    """The database was upgraded by a newer Pileus than this one."""

    message = "The database is at revision {found}, newer than {known}, the newest of this version."


@functools.cache
def known() -> list[str]:
    """The revisions of this code, oldest first."""
    return sorted(path.name[:4] for path in VERSIONS.glob("[0-9]*.py"))


@functools.cache
def _scripts() -> ScriptDirectory:
    """All revisions, read."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(FOLDER))
    scripts.get_heads()
    return scripts


def prepare(url: str, metadata: MetaData = schema.metadata) -> None:
    """Bring the tables up to date, the quick way where there is one; several processes may do so at once."""
    head = known()[-1]
    with _locked(url, unless=head) as connection:
        if connection is None or not _missing(_recorded(connection)):
            return
        if connection.dialect.name == "sqlite" and not inspect(connection).get_table_names():
            metadata.create_all(connection)
            connection.execute(text(_VERSION_TABLE))
            connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": head})
            return
        _run(connection, head)


def preload() -> None:
    """Read the revisions and import what they need, for a process that won't be able to read them later."""
    import alembic.operations.batch
    import alembic.runtime.migration  # noqa: F401 - for the imports' own sake

    known()
    _scripts()


def upgrade(url: str) -> list[str]:
    """Run the missing revisions and return them."""
    with _locked(url) as connection:
        assert connection is not None
        missing = _missing(_recorded(connection))
        if missing:
            _run(connection, missing[-1])
        return missing


def current(url: str) -> str | None:
    """The database's revision, or None for one without tables of ours (an SQLite file is not made)."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").exists():
        return None
    with _connected(url) as connection:
        return _recorded(connection)


def pending(url: str) -> list[str]:
    """The revisions that the database does not have yet."""
    return _missing(current(url))


def revision(message: str, modules: Sequence[str] = (), versions: Path = VERSIONS) -> Path:
    """Write the next revision: what the tables of ``modules`` (or packages) have and revisions lack."""
    from alembic import command

    for name in modules:
        module = importlib.import_module(name)
        for found in pkgutil.walk_packages(getattr(module, "__path__", ()), f"{name}."):
            importlib.import_module(found.name)
    number = f"{int((known() or ['0000'])[-1]) + 1:04d}"
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/compare.sqlite"
        if known():
            upgrade(url)
        with _connected(url) as connection:
            config = _config(connection)
            config.set_main_option("path_separator", "newline")
            folders = dict.fromkeys((str(VERSIONS), str(versions)))
            config.set_main_option("version_locations", "\n".join(folders).replace("%", "%%"))
            script = command.revision(
                config,
                message,
                autogenerate=True,
                rev_id=number,
                version_path=str(versions),
            )
    assert script is not None and not isinstance(script, list)
    written = Path(script.path)
    lines = written.read_text().splitlines(keepends=True)
    written.write_text("".join(line for line in lines if "# ### " not in line))
    for fix in (["check", "--fix", "--quiet"], ["format", "--quiet"]):
        subprocess.run([sys.executable, "-m", "ruff", *fix, str(written)], check=True)
    return written


def _missing(recorded: str | None) -> list[str]:
    revisions = known()
    if recorded is not None and recorded > revisions[-1]:
        raise SchemaTooNew(found=recorded, known=revisions[-1])
    return [number for number in revisions if recorded is None or number > recorded]


def _recorded(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


@contextlib.contextmanager
def _connected(url: str) -> Iterator[Connection]:
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
def _locked(url: str, unless: str | None = None) -> Iterator[Connection | None]:
    """A connection in a transaction that one process at a time has; committed at the end.

    Yields None, without waiting for anyone, where the database is at the revision ``unless`` already.
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
            if unless is not None and _recorded(connection) == unless:
                connection.rollback()
                yield None
                return
            connection.rollback()
            with connection.begin(), _server_lock(connection):
                yield connection
    finally:
        engine.dispose()


@contextlib.contextmanager
def _sqlite_locked(path: str, unless: str | None) -> Iterator[Connection | None]:
    engine = open_file(path)
    connection, raw = connect(engine)
    try:
        if unless is not None and _recorded(connection) == unless:
            yield None
            return
        # A table is altered by making it anew; keys that refer to it must not act meanwhile, and this
        # can't be said inside a transaction.
        raw.execute("PRAGMA foreign_keys = OFF")
        raw.execute(f"PRAGMA busy_timeout = {_LOCK_WAIT_S * 1000}")
        raw.execute("BEGIN IMMEDIATE")
        if not connection.in_transaction():
            connection.begin()  # for SQLAlchemy's books only: Alembic leaves a transaction that exists alone
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


def _config(connection: Connection) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes["connection"] = connection
    return config


def _run(connection: Connection, head: str) -> None:
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext

    if connection.dialect.name == "mysql":
        collation.convert(connection)  # a new table can't refer to one of another collation
    scripts = _scripts()
    context = MigrationContext.configure(
        connection, opts={"fn": lambda revision, _: scripts._upgrade_revs(head, revision), "script": scripts}
    )
    with Operations.context(context), context.begin_transaction():
        context.run_migrations()
