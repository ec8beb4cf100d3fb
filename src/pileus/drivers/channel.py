"""A stream over an open file that the event loop can wait for: a socket or a terminal.

asyncio's own transports take sockets and pipes, and uvloop's no terminals. This one takes either, and holds
nothing back: what can't be written yet keeps the writer waiting.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from pileus.core.streams import StreamEnded

_CHUNK = 1 << 16


class Channel:
    """Owns ``fd``, which it closes. For one reader and one writer at a time."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd: int | None = fd
        self._ended = asyncio.Event()

    async def receive(self) -> bytes:
        """See ByteStream."""
        loop = asyncio.get_running_loop()
        while self._fd is not None:
            try:
                return os.read(self._fd, _CHUNK)
            except BlockingIOError:
                await self._until(loop.add_reader, loop.remove_reader)
            except OSError:  # a terminal whose other end is gone: EIO
                return b""
        return b""

    async def send(self, data: bytes) -> None:
        """See ByteStream."""
        loop = asyncio.get_running_loop()
        left = memoryview(data)
        while left:
            if self._fd is None:
                raise StreamEnded
            try:
                left = left[os.write(self._fd, left) :]
            except BlockingIOError:
                await self._until(loop.add_writer, loop.remove_writer)
            except OSError as error:
                raise StreamEnded from error

    async def close(self) -> None:
        """See ByteStream."""
        fd, self._fd = self._fd, None
        if fd is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(fd)
            loop.remove_writer(fd)
            os.close(fd)
            self._ended.set()

    async def _until(self, add: Callable[..., object], remove: Callable[[int], object]) -> None:
        """Wait until the file can be read or written, or is closed here."""
        fd = self._fd
        assert fd is not None
        ready = asyncio.Event()
        add(fd, ready.set)
        waits = [asyncio.create_task(one.wait()) for one in (ready, self._ended)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if self._fd is not None:
                remove(fd)
            for wait in waits:
                wait.cancel()
