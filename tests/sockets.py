"""WebSockets to an app in this process, and streams of bytes without a carrier."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pileus.core.streams import StreamEnded


class MemoryStream:
    """A ``ByteStream`` whose other end is the test: it puts into ``comes`` and reads ``sent``."""

    def __init__(self) -> None:
        self.comes: asyncio.Queue[bytes] = asyncio.Queue()
        self.sent: list[bytes] = []
        self.closed = asyncio.Event()

    async def receive(self) -> bytes:
        return await self.comes.get()

    async def send(self, data: bytes) -> None:
        if self.closed.is_set():
            raise StreamEnded
        self.sent.append(data)

    async def close(self) -> None:
        self.closed.set()


class SocketClient:
    """A browser's end of a WebSocket; ``answer`` is the first thing that the app says."""

    def __init__(self, app: Any, address: str, headers: Mapping[str, str] | None = None) -> None:
        target = urlsplit(address)
        self.scope = {
            "type": "websocket",
            "scheme": "ws",
            "path": target.path,
            "raw_path": target.path.encode(),
            "query_string": target.query.encode(),
            "headers": [
                (name.encode(), value.encode())
                for name, value in {"host": "cloud", **(headers or {})}.items()
            ],
            "client": ("192.0.2.1", 1),
            "server": ("cloud", 80),
            "subprotocols": ["binary"],
        }
        self._to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._to_app.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.create_task(app(self.scope, self._to_app.get, self._from_app.put))

    async def said(self) -> dict[str, Any]:
        """The next message of the app."""
        async with asyncio.timeout(10):
            return await self._from_app.get()

    def send(self, **message: Any) -> None:
        self._to_app.put_nowait({"type": "websocket.receive", **message})

    async def leave(self) -> None:
        """Hang up, and wait until the app has heard it."""
        self._to_app.put_nowait({"type": "websocket.disconnect", "code": 1005})
        async with asyncio.timeout(10):
            await self.task
