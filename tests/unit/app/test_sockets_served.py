"""WebSockets over real connections: they stay while they are used, and what clients pile up is bounded."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
import uvicorn

from pileus.app.sections import LimitSection
from pileus.app.serving import http, protocol
from pileus.app.serving.connections import Gate
from pileus.app.serving.http import HttpServer, listen_tcp
from pileus.web.client import Proxies

UPGRADE = (
    b"GET /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Served:
    """A server that echoes; ``accepting``: when it accepts a socket."""

    def __init__(self, gate: Gate, address: tuple[str, int]) -> None:
        self.gate, self.address = gate, address
        self.accepting = asyncio.Event()
        self.accepting.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"ok"})
            return
        await receive()
        await self.accepting.wait()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] != "websocket.disconnect":
            await send({"type": "websocket.send", "bytes": message["bytes"]})


def tell(story: Callable[[Served], Awaitable[None]], **limits: Any) -> None:
    async def main() -> None:
        gate, sock = Gate(LimitSection(**limits), Proxies(())), listen_tcp("127.0.0.1:0")
        served = Served(gate, sock.getsockname())
        server = HttpServer(served, gate, [sock], [])
        await server.start()
        try:
            async with asyncio.timeout(60):
                await story(served)
        finally:
            await server.stop()

    asyncio.run(main())


def test_one_that_follows_a_request_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    real = uvicorn.Config

    def quick(*args: Any, **keywords: Any) -> uvicorn.Config:
        return real(*args, **{**keywords, "timeout_keep_alive": 1})

    monkeypatch.setattr(http.uvicorn, "Config", quick)

    async def story(served: Served) -> None:
        host, port = served.address
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
            async with session.get(f"http://{host}:{port}/") as reply:
                assert await reply.text() == "ok"
            async with session.ws_connect(f"http://{host}:{port}/echo") as socket:
                # Nobody else's connection takes its place, as that of one that waits for its next request.
                _, writer = await asyncio.open_connection(host, port)
                await asyncio.sleep(1.5)
                await socket.send_bytes(b"there")
                assert (await socket.receive(5)).data == b"there"
                writer.close()

    tell(story, connections_per_address=1)


def test_what_comes_before_it_is_accepted_is_bounded() -> None:
    async def story(served: Served) -> None:
        served.accepting.clear()
        _, writer = await asyncio.open_connection(*served.address)
        writer.write(UPGRADE)
        with pytest.raises(ConnectionError):
            for _ in range(1000):
                writer.write(bytes(1 << 16))
                await writer.drain()
                await asyncio.sleep(0.001)
        served.accepting.set()

    tell(story)


def test_who_asks_and_reads_nothing_gets_no_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    sockets: list[protocol.BoundedSocket] = []
    made = protocol.BoundedSocket.connection_made

    def noted(self: protocol.BoundedSocket, transport: Any) -> None:
        sockets.append(self)
        made(self, transport)

    monkeypatch.setattr(protocol.BoundedSocket, "connection_made", noted)

    async def story(served: Served) -> None:
        reader, writer = await asyncio.open_connection(*served.address)
        writer.write(UPGRADE)
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        mask = os.urandom(4)
        ping = b"\x89\xfd" + mask + bytes(125)
        for _ in range(300):
            writer.write(ping * 1000)
            await writer.drain()
        (one,) = sockets
        assert one.transport.get_write_buffer_size() < 4 << 20
        writer.close()

    tell(story)
