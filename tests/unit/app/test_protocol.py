"""Clients that hold connections, bodies and answers: each is bounded, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.web.widgets import SERVICE, service_with, widget_app

from pileus.app.sections import LimitSection
from pileus.app.serving import protocol
from pileus.app.serving.connections import Gate
from pileus.app.serving.http import HttpServer, listen_tcp
from pileus.web.app import App
from pileus.web.bodies import BodyLimits
from pileus.web.client import Proxies
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

GET = b"GET /widgets/v2.0/widgets HTTP/1.1\r\nHost: x\r\nX-Auth-Token: admin\r\n"
POST = GET.replace(b"GET", b"POST", 1)
ANY = BodyLimits()
QUICK = {"idle_s": 1.0, "least_bytes_per_s": 10_000}


async def take(request: Request) -> Reply:
    size = 0
    async for part in request.stream():
        size += len(part)
    return Reply.json({"size": size})


async def log_in(request: Request) -> Reply:
    await asyncio.sleep(0.01)
    LAST_SEEN[:] = request.scope["headers"]
    return Reply.json({"size": len(request.body)})


async def long(request: Request) -> Reply:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * (1 << 20)

    return Reply(200, parts(), [(b"content-length", str(100 << 20).encode())])


ROUTES = (
    Route("PUT", "/v2.0/stream", take, stream=True),
    Route("POST", "/v2.0/login", log_in, authenticated=False),
    Route("GET", "/v2.0/long", long),
)


LAST_SEEN: list[tuple[bytes, bytes]] = []
"""The headers of the last log-in, as its handler saw them."""


class Door:
    """A served app and its address."""

    def __init__(self, app: App, gate: Gate, address: tuple[str, int]) -> None:
        self.app, self.gate, self.address = app, gate, address

    async def connect(self, **options: Any) -> Peer:
        reader, writer = await asyncio.open_connection(*self.address, **options)
        return Peer(reader, writer)


class Peer:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> bytes:
        """The head of the next answer; empty where the connection ends without one."""
        try:
            return await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""

    async def is_closed(self) -> bool:
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass
        return True

    async def ask(self, request: bytes = GET + b"\r\n") -> bytes:
        """A request on this connection, its answer read whole; the answer's first line."""
        self.send(request)
        head = await self.head()
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                await self.reader.readexactly(int(line.split(b":")[1]))
        return head.split(b"\r\n")[0]


def tell(
    folder: Path,
    story: Callable[[Door], Awaitable[None]],
    bodies: BodyLimits = ANY,
    trusted: tuple[str, ...] = (),
    **limits: Any,
) -> None:
    async def main() -> None:
        widgets = service_with(routes=[*SERVICE.routes, *ROUTES])
        gate = Gate(LimitSection(**limits), Proxies(trusted))
        async with widget_app(folder, widgets, bodies=bodies) as app:
            sock = listen_tcp("127.0.0.1:0")
            server = HttpServer(app, gate, [sock], [])
            await server.start()
            try:
                async with asyncio.timeout(120):
                    await story(Door(app, gate, sock.getsockname()))
            finally:
                await server.stop()

    asyncio.run(main())


OK = b"HTTP/1.1 200 OK"


def test_a_body_that_stops_is_answered_and_its_bytes_are_given_back(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        peer = await door.connect()
        peer.send(POST + b"Content-Length: 500000\r\n\r\n" + b'{"widget": "' + b"x" * 100_000)
        head = await peer.head()
        assert head.startswith(b"HTTP/1.1 408 Request Timeout")
        assert b"NeutronError" in await peer.reader.read(65536)
        assert door.app.bodies.held == 0
        assert await (await door.connect()).ask() == OK

    tell(tmp_path, story, BodyLimits(within_s=0.2))


@pytest.mark.parametrize(
    ("limits", "status"),
    [
        (BodyLimits(held_bytes_of_one=180_000), b"HTTP/1.1 429 "),
        (BodyLimits(held_bytes=180_000), b"HTTP/1.1 503 "),
    ],
)
def test_bytes_of_one_client_and_of_all_are_bounded(
    limits: BodyLimits, status: bytes, tmp_path: Path
) -> None:
    async def story(door: Door) -> None:
        unfinished = POST + b"Content-Length: 90000\r\n\r\n" + b'{"widget": "' + b"x" * 50_000
        peers = []
        for _ in range(3):
            peer = await door.connect()
            peer.send(unfinished)
            peers.append(peer)
        while door.app.bodies.held < 150_000:
            await asyncio.sleep(0.01)
        full = await door.connect()
        full.send(unfinished)
        head = await full.head()
        assert head.startswith(status) and b"retry-after: 5" in head
        assert await (await door.connect()).ask() == OK, "what has no large body is served"
        for peer in peers:
            peer.writer.close()
        while door.app.bodies.held:
            await asyncio.sleep(0.01)
        last = await door.connect()
        last.send(unfinished + b"x" * 39_986 + b'"}')
        assert (await last.head()).startswith(b"HTTP/1.1 400")

    tell(tmp_path, story, limits)


def test_who_has_no_token_sends_little(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        line = b"POST /widgets/v2.0/login HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
        assert await (await door.connect()).ask(line % 100_000 + b"x" * 100_000) == OK
        peer = await door.connect()
        peer.send(line % 120_000)
        assert (await peer.head()).startswith(b"HTTP/1.1 413 ")

    tell(tmp_path, story)


def test_an_upload_must_go_on_at_a_least_rate(tmp_path: Path) -> None:
    put = GET.replace(b"GET /widgets/v2.0/widgets", b"PUT /widgets/v2.0/stream", 1)
    put += b"Content-Length: 9000000\r\n\r\n"

    async def story(door: Door) -> None:
        stopped = await door.connect()
        stopped.send(put + b"x" * 1000)
        assert (await stopped.head()).startswith(b"HTTP/1.1 408 ")
        drips = await door.connect()
        drips.send(put)

        async def drip() -> None:
            with contextlib.suppress(ConnectionError):
                while True:
                    drips.send(b"x")
                    await asyncio.sleep(0.01)

        dripping = asyncio.create_task(drip())
        assert (await drips.head()).startswith(b"HTTP/1.1 408 ")
        dripping.cancel()
        steady = await door.connect()
        steady.send(put)
        for _ in range(90):
            steady.send(b"x" * 100_000)
            await asyncio.sleep(0.005)
        assert (await steady.head()).startswith(OK)

    tell(tmp_path, story, BodyLimits(idle_s=1.0, least_bytes_per_s=10_000))


def test_a_client_has_so_many_connections_and_idle_ones_make_room(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        held = [await door.connect() for _ in range(8)]
        for peer in held[:4]:
            assert await peer.ask() == OK  # idle now, and younger than those that said nothing
        newer = [await door.connect() for _ in range(8)]
        for peer in newer:
            assert await peer.ask() == OK
        for peer in held:
            assert await peer.is_closed()

    tell(tmp_path, story, connections_per_address=8)


@pytest.mark.parametrize(
    ("limits", "status"), [({"connections_per_address": 4}, 429), ({"connections": 16}, 503)]
)
def test_connections_with_requests_under_way_are_refused_not_closed(
    limits: dict[str, int], status: int, tmp_path: Path
) -> None:
    async def story(door: Door) -> None:
        busy = [await door.connect() for _ in range(next(iter(limits.values())))]
        for peer in busy:
            peer.send(POST + b"Content-Length: 40\r\n\r\n{")
        while door.gate._all_waiting:
            await asyncio.sleep(0.01)
        refused = await door.connect()
        refused.send(GET + b"\r\n")
        head = await refused.head()
        assert head.startswith(b"HTTP/1.1 %d " % status) and b"retry-after: 5" in head
        assert await refused.is_closed()
        busy[0].writer.close()
        while len(door.gate._open) >= len(busy):
            await asyncio.sleep(0.01)
        assert await (await door.connect()).ask() == OK

    tell(tmp_path, story, **limits)


def test_trusted_proxies_have_as_many_as_they_need(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        held = [await door.connect() for _ in range(20)]
        for peer in held:
            assert await peer.ask() == OK

    tell(tmp_path, story, trusted=("127.0.0.0/8",), connections_per_address=2)


def test_who_does_not_read_an_answer_is_cut_off(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, door.address)
            ask = b"GET /widgets/v2.0/long HTTP/1.1\r\nHost: x\r\nX-Auth-Token: admin\r\n\r\n"
            await loop.sock_sendall(sock, ask)
            while not door.gate._open:
                await asyncio.sleep(0.01)
            while door.gate._open:
                await asyncio.sleep(0.01)
        reads = await door.connect()
        reads.send(ask)
        assert (await reads.head()).startswith(OK)
        assert len(await reads.reader.readexactly(100 << 20)) == 100 << 20

    tell(tmp_path, story, **QUICK)


def test_the_rest_of_a_refused_body_is_read_for_a_while_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "DRAIN_S", 0.2)

    async def story(door: Door) -> None:
        head = b"POST /widgets/v2.0/coffees HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
        short = await door.connect()
        assert (await short.ask(head % 10)).startswith(b"HTTP/1.1 404 ")
        assert await short.ask(b"x" * 10 + GET + b"\r\n") == OK, "the connection goes on"
        endless = await door.connect()
        assert (await endless.ask(head % (1 << 40))).startswith(b"HTTP/1.1 404 ")

        async def pour() -> None:
            with contextlib.suppress(ConnectionError):
                while True:
                    endless.send(b"x" * 1000)
                    await endless.writer.drain()
                    await asyncio.sleep(0.01)

        pouring = asyncio.create_task(pour())
        assert await endless.is_closed()
        pouring.cancel()

    tell(tmp_path, story)


CHUNKED = POST.replace(b"/widgets HTTP", b"/login HTTP") + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "fields",
    [
        b"a:b\r\n" * 300,
        b"X-Long: " + b"x" * 70_000 + b"\r\n",
        b"a: " + b"x" * 400 + b"\r\n" + b"b:\r\n" * 20_000,
    ],
    ids=["many", "long", "both"],
)
def test_a_head_of_one_read_is_bounded_too(fields: bytes, tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        peer = await door.connect()
        peer.send(GET + fields + b"\r\n" + GET + b"\r\n")
        assert (await peer.head()).startswith(b"HTTP/1.1 431 ")
        assert await peer.is_closed()
        assert await (await door.connect()).ask(GET + b"a:b\r\n" * 200 + b"\r\n") == OK

    tell(tmp_path, story)


@pytest.mark.parametrize(
    "frame",
    [b"0\r\n" + b"a:b\r\n" * 100_000, b"0\r\na: " + b"x" * 500_000, b"2;" + b"x" * 500_000],
    ids=["trailers", "trailer", "extension"],
)
def test_what_frames_a_body_is_bounded(frame: bytes, tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        peer = await door.connect()
        peer.send(CHUNKED + b"2\r\n{}\r\n")
        await peer.writer.drain()
        peer.send(frame)
        assert await peer.is_closed()

    tell(tmp_path, story)


def test_a_body_in_small_chunks_is_taken_and_its_trailers_are_not_headers(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        peer = await door.connect()
        peer.send(CHUNKED)
        for _ in range(20):
            peer.send(b"1\r\n \r\n" * 1000)
            await asyncio.sleep(0)
        assert await peer.ask(b"0\r\nX-Forwarded-For: 192.0.2.1\r\nAccept: text/html\r\n\r\n") == OK
        assert dict(LAST_SEEN) == {b"host": b"x", b"x-auth-token": b"admin", b"transfer-encoding": b"chunked"}

    tell(tmp_path, story)


def test_of_many_requests_at_once_some_are_answered_and_the_rest_is_not_read(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        peer = await door.connect()
        peer.send((GET + b"\r\n") * 1000)
        answers = await peer.reader.read()
        assert 2 < answers.count(OK) <= protocol.MAX_WAITING + 1

    tell(tmp_path, story)
