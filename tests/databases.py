"""Throwaway PostgreSQL and MariaDB servers, and fresh databases on all three, for any test.

A server is started when first asked for, as an unprivileged user (both refuse root), on a Unix socket in
a folder of its own, without waiting for the disk, and ends with the tests. Use it so::

    from tests import databases

    @pytest.mark.parametrize("kind", databases.KINDS)
    def test_something(kind, tmp_path):
        with databases.fresh(kind, tmp_path) as url: ...

``fresh`` skips the test with the reason where the server is not installed.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from pileus.store import migrations
from pileus.store.engine.pooled import driver_url
from pileus.store.schema import metadata

ALL = ("sqlite", "postgresql", "mariadb")
KINDS = ("sqlite", "postgresql", pytest.param("mariadb", marks=pytest.mark.nightly))
"""For stories that every database has to tell: of MariaDB's a fifth each day."""

_numbers = itertools.count(1)


class Server:
    """A running server: its process and how to reach a database on it."""

    def __init__(self, folder: Path, command: list[str], user: str | None, url: str, admin: str) -> None:
        self.folder = folder
        self._url = url
        self._admin = admin
        log = (folder / "log").open("wb")
        self._process = subprocess.Popen(command, stdout=log, stderr=log, **_as_user(user))
        atexit.register(self.stop)
        until = time.monotonic() + 30
        while True:
            try:
                self.run("SELECT 1")
                return
            except DBAPIError:
                if time.monotonic() > until or self._process.poll() is not None:
                    self.stop(keep=True)
                    raise RuntimeError((folder / "log").read_text()) from None
                time.sleep(0.05)

    def url(self, database: str) -> str:
        return self._url.format(database=database)

    def run(self, statement: str) -> None:
        engine = create_engine(driver_url(self.url(self._admin)), isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                connection.execute(text(statement))
        finally:
            engine.dispose()

    def stop(self, keep: bool = False) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)


def make_tables(url: str) -> None:
    """Make the tables of the revisions, and those that tests declare besides."""
    migrations.prepare(url)
    with migrations.connected(url) as connection:
        metadata.create_all(connection)
        connection.commit()


def _as_user(user: str | None) -> dict[str, Any]:
    if user is None:
        return {}
    entry = pwd.getpwnam(user)
    return {
        "user": entry.pw_uid,
        "group": entry.pw_gid,
        "extra_groups": [],
        "cwd": "/",
        "env": {**os.environ, "HOME": "/"},
    }


def _unprivileged(*candidates: str) -> str | None:
    """The user to start a server as: nobody else when the tests don't run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in (*candidates, "nobody") if name in names)


def _folder(user: str | None) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="pileus-db-", dir="/tmp"))  # short: a socket's path has 107 bytes
    folder.chmod(0o711)  # a server of Pileus under test runs as yet another user
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(folder, entry.pw_uid, entry.pw_gid)
    return folder


def _program(name: str, *folders: str) -> str | None:
    found = shutil.which(name)
    if found:
        return found
    candidates = sorted(path for folder in folders for path in Path("/").glob(f"{folder[1:]}/{name}"))
    return str(candidates[-1]) if candidates else None


@functools.cache
def _postgresql(durable: bool = False) -> Server | str:
    initdb = _program("initdb", "/usr/lib/postgresql/*/bin")
    postgres = _program("postgres", "/usr/lib/postgresql/*/bin")
    if initdb is None or postgres is None:
        return "PostgreSQL is not installed (Debian package postgresql)"
    user = _unprivileged("postgres")
    folder = _folder(user)
    data = folder / "data"
    subprocess.run(
        [initdb, "-D", str(data), "-U", "pileus", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"],
        check=True,
        capture_output=True,
        **_as_user(user),
    )
    settings = ["listen_addresses="]
    if not durable:
        settings += ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]
    options = [part for setting in settings for part in ("-c", setting)]
    return Server(
        folder,
        [postgres, "-D", str(data), "-k", str(folder), *options],
        user,
        f"postgresql://pileus@/{{database}}?host={folder}",
        "postgres",
    )


@functools.cache
def _mariadb() -> Server | str:
    install = _program("mariadb-install-db", "/usr/bin")
    daemon = _program("mariadbd", "/usr/sbin", "/usr/libexec")
    if install is None or daemon is None:
        return "MariaDB is not installed (Debian package mariadb-server)"
    user = _unprivileged("mysql")
    folder = _folder(user)
    data = folder / "data"
    quick = ["--innodb-flush-log-at-trx-commit=0", "--innodb-log-file-size=16M", "--sync-binlog=0"]
    subprocess.run(
        [
            install,
            "--no-defaults",
            f"--datadir={data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
            *quick[1:2],
        ],
        check=True,
        capture_output=True,
        **_as_user(user),
    )
    return Server(
        folder,
        [
            daemon,
            "--no-defaults",
            f"--datadir={data}",
            f"--socket={folder}/socket",
            f"--pid-file={folder}/pid",
            "--skip-networking",
            "--skip-name-resolve",
            "--innodb-buffer-pool-size=64M",
            *quick,
        ],
        user,
        f"mariadb://root@/{{database}}?unix_socket={folder}/socket",
        "mysql",
    )


@contextlib.contextmanager
def fresh(kind: str, folder: Path) -> Iterator[str]:
    """The URL of an empty database of this kind, gone afterwards; ``folder`` is for SQLite's file."""
    if kind == "sqlite":
        yield f"sqlite:///{folder}/{next(_numbers)}.sqlite"
        return
    server = {"postgresql": _postgresql, "mariadb": _mariadb}[kind]()
    if isinstance(server, str):
        pytest.skip(server)
    name = f"pileus_{os.getpid()}_{next(_numbers)}"
    server.run(f"CREATE DATABASE {name}")
    try:
        yield server.url(name)
    finally:
        server.run(f"DROP DATABASE {name}{' WITH (FORCE)' if kind == 'postgresql' else ''}")


@contextlib.contextmanager
def durable_postgresql() -> Iterator[str]:
    """The URL of an empty database on a PostgreSQL that waits for the disk, as one in service does."""
    server = _postgresql(durable=True)
    if isinstance(server, str):
        raise RuntimeError(server)
    name = f"pileus_{os.getpid()}_{next(_numbers)}"
    server.run(f"CREATE DATABASE {name}")
    try:
        yield server.url(name)
    finally:
        server.run(f"DROP DATABASE {name} WITH (FORCE)")
