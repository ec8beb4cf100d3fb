"""Streams of bytes in both directions, whatever carries them, and passing on from one to another."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Protocol


class StreamEnded(Exception):
    """The other side is gone; what was to be sent does not arrive."""


class ByteStream(Protocol):
    """One end of a stream."""

    async def receive(self) -> bytes:
        """The next bytes; none at the end, then and ever after."""

    async def send(self, data: bytes) -> None:
        """Send, and wait while too much is on its way; raises StreamEnded."""

    async def close(self) -> None:
        """End both directions. May be called again."""


class SocketStream:
    """An accepted WebSocket, by what ASGI gives: bytes are binary messages, and text counts as bytes."""

    def __init__(self, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        self._receive, self._send = receive, send
        self._ended = False
        self.closed = asyncio.Event()
        """Nobody uses it any more."""

    async def receive(self) -> bytes:
        """See ByteStream."""
        while not self._ended:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                self._ended = True
                break
            data: bytes = message.get("bytes") or (message.get("text") or "").encode()
            if data:
                return data
        return b""

    async def send(self, data: bytes) -> None:
        """See ByteStream."""
        if self._ended:
            raise StreamEnded
        try:
            await self._send({"type": "websocket.send", "bytes": data})
        except (OSError, RuntimeError) as error:  # the peer has gone meanwhile
            self._ended = True
            raise StreamEnded from error

    async def close(self) -> None:
        """See ByteStream."""
        self.closed.set()
        if not self._ended:
            self._ended = True
            with contextlib.suppress(OSError, RuntimeError):
                await self._send({"type": "websocket.close", "code": 1000})


async def relay(one: ByteStream, other: ByteStream) -> None:
    """Pass on what comes from each to the other until one of them ends; then both are closed."""
    ways = [asyncio.create_task(_pass_on(one, other)), asyncio.create_task(_pass_on(other, one))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        await asyncio.gather(one.close(), other.close(), return_exceptions=True)


async def _pass_on(source: ByteStream, sink: ByteStream) -> None:
    try:
        while data := await source.receive():
            await sink.send(data)
    except StreamEnded:
        return
