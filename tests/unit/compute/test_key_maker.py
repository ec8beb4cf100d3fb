"""Keys that the cloud makes: one after another, few in wait, none for who has gone or may not have one."""

from __future__ import annotations

import asyncio
import threading

import pytest

from pileus.services.compute.keypairs.making import KeyMaker, TooManyKeys


def test_few_wait_and_none_for_who_has_gone() -> None:
    release = threading.Event()
    made: list[str] = []

    def work(name: str) -> str:
        release.wait(60)
        made.append(name)
        return name

    async def story() -> None:
        maker = KeyMaker(most=4, most_of_one=2)
        tasks = {
            name: asyncio.ensure_future(maker.make(name[0], work, name)) for name in ("a1", "a2", "b1", "c1")
        }
        await asyncio.sleep(0)
        for user in ("a", "d"):  # who has two already, and anybody while all places are taken
            with pytest.raises(TooManyKeys):
                await maker.make(user, work, "refused")
        tasks["b1"].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks["b1"]
        late = asyncio.ensure_future(maker.make("d", work, "d1"))
        with pytest.raises(TooManyKeys):
            await maker.make("a", work, "refused")
        release.set()
        left = [tasks["a1"], tasks["a2"], tasks["c1"], late]
        assert await asyncio.gather(*left) == ["a1", "a2", "c1", "d1"]
        assert made == ["a1", "a2", "c1", "d1"]
        assert await maker.make("a", work, "a3") == "a3"

    asyncio.run(story())
