"""Clouds that several files of these tests use; some files have others of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.clouds import Cloud, short_folder, simulated_cloud


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """One simulated cloud for the stories that leave it as it was."""
    with simulated_cloud() as cloud:
        yield cloud


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder
