"""Each story runs on SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from tests import databases
from tests.api.identity.cloud import Cloud, run

Story = Callable[[Cloud], Awaitable[None]]


@pytest.fixture(params=databases.KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database."""
    with databases.fresh(request.param, tmp_path) as url:
        yield url


@pytest.fixture
def tell(url: str, tmp_path: Path) -> Callable[[Story], None]:
    """Runs a story in a cloud of its own."""
    return lambda story: run(url, tmp_path, story)
