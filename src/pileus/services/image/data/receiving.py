"""Receive data: blocks of a megabyte go to a thread that hashes and writes them while the next one comes.

Memory is constant: one block on its way to the disk and one being filled, whatever the size of the image.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor
from typing import Any, ParamSpec, TypeVar

from pileus.core.formats import Reader, inspect
from pileus.services.image.data.facts import Facts
from pileus.services.image.errors import ImageTooLarge
from pileus.services.image.store import Sink

BLOCK = 1 << 20

P = ParamSpec("P")
T = TypeVar("T")


class Receiver:
    """Writes one object. Ended by ``finish`` (the object is there) or ``abandon`` (it is not)."""

    _sink: Sink

    def __init__(
        self,
        create: Callable[[], Sink],
        executor: Executor,
        largest: int,
        reserve: Callable[[int], Awaitable[int]],
        reserved: int,
    ) -> None:
        """``reserved`` bytes may come; before more do, ``reserve(size)`` says how many may."""
        self._create = create
        self._opened = False
        self._executor = executor
        self._largest = largest
        self._size = 0
        self._reserve = reserve
        self._reserved = reserved
        # MD5 is what the API calls the checksum; nothing rests on it
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha512 = hashlib.sha512()
        self._running: asyncio.Future[Any] | None = None

    async def take(self, parts: AsyncIterator[bytes]) -> None:
        """Take all of it; raises ImageTooLarge, StorageFull, or what the parts or ``reserve`` raise."""
        await self._start(self._open)
        buffer = bytearray()
        async for part in parts:
            self._size += len(part)
            if self._size > self._largest:
                raise ImageTooLarge(limit=self._largest)
            if self._size > self._reserved:
                self._reserved = await self._reserve(self._size)
            buffer += part
            if len(buffer) >= BLOCK:
                await self._hand_over(bytes(buffer))
                buffer.clear()
        if buffer:
            await self._hand_over(bytes(buffer))
        await self._written()

    async def facts(self) -> Facts:
        """Hashes, and what the content is."""
        return await self._start(self._inspect)

    async def finish(self) -> None:
        """Make the object durable under its name; raises StorageFull."""
        await self._start(self._sink.commit)

    async def abandon(self) -> None:
        """Leave nothing behind, once the thread has let go of the file."""
        with contextlib.suppress(Exception):
            await self._written()
        if self._opened:
            await self._start(self._sink.discard)

    async def _hand_over(self, block: bytes) -> None:
        await self._written()
        self._start(self._write, block)

    async def _written(self) -> None:
        running = self._running
        if running is not None:
            await asyncio.shield(running)
            self._running = None

    def _start(self, work: Callable[P, T], *args: P.args, **keywords: P.kwargs) -> asyncio.Future[T]:
        """Begin work in a thread. Shielded: a cancelled request must still find the thread's end."""
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._executor, lambda: work(*args, **keywords))
        self._running = running
        return asyncio.shield(running)

    def _open(self) -> None:
        self._sink = self._create()
        self._opened = True

    def _write(self, block: bytes) -> None:
        self._md5.update(block)
        self._sha512.update(block)
        self._sink.write(block)

    def _inspect(self) -> Facts:
        found = inspect(Reader(self._sink.read, self._size))
        return Facts(
            size=self._size,
            checksum=self._md5.hexdigest(),
            os_hash_value=self._sha512.hexdigest(),
            format=found.format,
            virtual_size=found.virtual_size,
            danger=found.danger,
        )
