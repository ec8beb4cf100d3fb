"""Send data: read in threads, block by block, until the end or until the client hangs up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import Executor
from typing import Any

from pileus.services.image.store import DataMissing, Source

BLOCK = 1 << 20


async def send_data(
    source: Source,
    first: int,
    length: int,
    executor: Executor,
    receive: Callable[[], Awaitable[Mapping[str, Any]]],
) -> AsyncIterator[bytes]:
    """Yield the bytes; closes ``source``. ``receive`` is ASGI's, and says when the client has hung up."""
    loop = asyncio.get_running_loop()
    gone = asyncio.ensure_future(_until_gone(receive))
    running: asyncio.Future[bytes] | None = None
    try:
        while length and not gone.done():
            running = loop.run_in_executor(executor, source.read, first, min(BLOCK, length))
            block = await asyncio.shield(running)
            if not block:
                # shorter than announced: the connection must break, not end
                raise DataMissing
            first += len(block)
            length -= len(block)
            yield block
    finally:
        gone.cancel()
        if running is not None and not running.done():
            running.add_done_callback(lambda _: source.close())
        else:
            source.close()


async def _until_gone(receive: Callable[[], Awaitable[Mapping[str, Any]]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
