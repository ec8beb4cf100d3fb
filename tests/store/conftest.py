"""Each test here runs on SQLite, PostgreSQL and MariaDB, with a database per file of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests import databases
from tests.store.things import TABLES

from pileus.store import migrations
from pileus.store.schema import metadata


@pytest.fixture(scope="module", params=databases.ALL)
def kind(request: pytest.FixtureRequest) -> str:
    """Which database."""
    return str(request.param)


@pytest.fixture(scope="module")
def url(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database with all tables, and those of things.py."""
    with databases.fresh(kind, tmp_path_factory.mktemp("store")) as url:
        migrations.prepare(url)
        with migrations.connected(url) as connection:
            metadata.create_all(connection, tables=TABLES)
            connection.commit()
        yield url
