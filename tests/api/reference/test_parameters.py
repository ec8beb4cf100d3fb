"""The tables of this folder against the services: each list has a row, each parameter does something."""

from __future__ import annotations

import asyncio
import importlib
from pathlib import Path
from typing import Any

import pytest
from tests.api.reference.runner import faults, lists_of

TABLES = sorted(file.stem for file in Path(__file__).parent.glob("*_table.py"))


def test_every_service_has_a_table() -> None:
    assert TABLES == ["compute_table", "identity_table", "image_table", "network_table", "volume_table"]


@pytest.mark.parametrize("name", TABLES)
def test_each_parameter_is_obeyed_or_refused(name: str, tmp_path: Path) -> None:
    table: Any = importlib.import_module(f"tests.api.reference.{name}")

    async def story() -> list[str]:
        async with table.scene(tmp_path) as scene:
            rows = set(table.OPERATIONS)
            assert not rows & table.NO_LISTS
            assert rows | table.NO_LISTS == lists_of(scene.service)
            return await faults(table, scene)

    found = asyncio.run(asyncio.wait_for(story(), 300))
    assert not found, "\n".join(found)
