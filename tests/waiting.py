"""Waiting for a condition: long enough that a busy machine fails no test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

PATIENCE_S = 30.0

T = TypeVar("T")


async def until(condition: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
    """Return when the condition holds; TimeoutError if it does not within ``within_s``."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.002)


async def eventually(look: Callable[[], Awaitable[T]], within_s: float = PATIENCE_S) -> T:
    """The first true answer of ``look``; TimeoutError if there is none within ``within_s``."""
    async with asyncio.timeout(within_s):
        while not (answer := await look()):
            await asyncio.sleep(0.01)
    return answer
