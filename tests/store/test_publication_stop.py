"""Stopping the publisher at any moment of a wake-up."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.waiting import PATIENCE_S

from pileus.store import Store


@pytest.mark.parametrize("turns", range(6))
def test_a_store_closes_however_soon_after_a_wake_up(tmp_path: Path, turns: int) -> None:
    async def story() -> None:
        store = await Store.open(f"sqlite:///{tmp_path / 'db'}")
        store._publisher.wake()
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE_S) as limit:
            await store.close()
        assert not limit.expired()

    asyncio.run(story())
