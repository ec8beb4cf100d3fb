"""Stories run on SQLite, PostgreSQL and MariaDB, or with ``quick`` on SQLite alone.

On the two servers the stories of a file share a database, which is emptied before each.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from tests import databases
from tests.api.identity.cloud import Cloud, run

from pileus.services.identity.tables.projects import projects
from pileus.store import migrations
from pileus.store.engine.pooled import driver_url
from pileus.store.schema import metadata

Story = Callable[[Cloud], Awaitable[None]]


@pytest.fixture(scope="module", params=databases.KINDS)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database for the stories of a file; for SQLite, whose files cost nothing, none."""
    if request.param == "sqlite":
        yield ""
        return
    with databases.fresh(request.param, tmp_path_factory.mktemp("identity")) as url:
        migrations.prepare(url)
        yield url


@pytest.fixture
def url(shared: str, tmp_path: Path) -> str:
    """An empty database."""
    if not shared:
        return f"sqlite:///{tmp_path}/cloud.sqlite"
    engine = create_engine(driver_url(shared))
    with engine.begin() as connection:
        connection.execute(projects.update().values(domain_id=None))
        for table in reversed(metadata.sorted_tables):
            if not table.name.startswith("test_"):
                connection.execute(table.delete())
    engine.dispose()
    return shared


@pytest.fixture
def tell(url: str, tmp_path: Path) -> Callable[[Story], None]:
    """Runs a story in a cloud of its own, on each database."""
    return lambda story: run(url, tmp_path, story)


@pytest.fixture
def quick(tmp_path: Path) -> Callable[[Story], None]:
    """Runs a story in a cloud of its own, on SQLite."""
    return lambda story: run(f"sqlite:///{tmp_path}/cloud.sqlite", tmp_path, story)
