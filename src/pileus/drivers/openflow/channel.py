"""One OpenFlow connection with a bridge, over its management socket.

Requests are answered by their number: an *exchange* is some messages and the last of them, whose answer ends
it (a barrier, a multipart reply). Errors among them come before that answer, each with the number of the
message that it is about. The peer is not trusted to speak well: a message that is too short ends the
connection, and all who wait for an answer hear that it was lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Callable
from pathlib import Path
from typing import cast

from pileus.drivers.openflow import messages as m
from pileus.drivers.openflow.fields import BadFlow

_ANSWERS_WITHIN_S = 30.0
_GREETS_WITHIN_S = 10.0
_VERSION_BITMAP = 1
_WAITING_PACKETS = 1024
_MOST_COOKIES = 256
Message = tuple[int, bytes]
"""A type, and the body behind the header."""


class SwitchRefused(Exception):
    """The switch answered with an OpenFlow error; ``kind`` and ``code`` are the specification's."""

    def __init__(self, kind: int, code: int, about: str) -> None:
        self.kind = kind
        self.code = code
        super().__init__(f"{m.error_name(kind, code)} for {about}")


class Refusal(Exception):
    """An error with the number of the message of the exchange that it is about."""

    def __init__(self, place: int, kind: int, code: int) -> None:
        self.place = place
        self.kind = kind
        self.code = code
        super().__init__(m.error_name(kind, code))


class _Exchange:
    """Messages with the numbers ``numbers``; the answer to the message ``last`` ends it."""

    def __init__(self, numbers: range, last: int, done: asyncio.Future[list[bytes]]) -> None:
        self.numbers = numbers
        self.last = last
        self.done = done
        self.bodies: list[bytes] = []
        self.refusal: Refusal | None = None

    def refused(self, number: int, kind: int, code: int) -> None:
        # An error about the whole (a bundle that failed) says less than the one about its part.
        if self.refusal is None:
            place = self.numbers.index(number) if number in self.numbers else len(self.numbers)
            self.refusal = Refusal(place, kind, code)

    def end(self) -> None:
        if self.done.done():
            return
        if self.refusal is not None:
            self.done.set_exception(self.refusal)
        else:
            self.done.set_result(self.bodies)


class ChangesHeard:
    """The cookies of flows that others have changed since somebody has last looked. However many changes
    there are, only so many numbers are kept."""

    def __init__(self) -> None:
        self.came = asyncio.Event()
        self._cookies: set[int] = set()
        self._unknown = False

    def take(self, body: bytes) -> None:
        """A multipart reply that nobody has asked for just now; raises ValueError."""
        if struct.unpack_from("!H", body)[0] != m.MP_FLOW_MONITOR or self._unknown:
            return
        cookies = m.changed_cookies(body[8:])
        if cookies is None or len(self._cookies) + len(cookies) > _MOST_COOKIES:
            self._unknown = True
        elif not cookies:
            return
        else:
            self._cookies |= cookies
        self.came.set()

    def taken(self) -> frozenset[int] | None:
        """Those since the last time; None: there may have been any."""
        found = None if self._unknown else frozenset(self._cookies)
        self._cookies.clear()
        self._unknown = False
        self.came.clear()
        return found


class Channel(asyncio.Protocol):
    """A connection after the greeting; made by ``open_channel``."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.loop = loop
        self.greeted: asyncio.Future[None] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()
        self.on_packet: Callable[[m.PacketIn], None] | None = None
        self.changes_heard = ChangesHeard()
        self._is_monitored = False
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._number = 0
        self._exchanges: dict[int, _Exchange] = {}

    # -- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is no subclass
        bitmap = struct.pack("!HHI", _VERSION_BITMAP, 8, 1 << m.VERSION)
        self._transport.write(
            m.HEADER.pack(m.VERSION, m.HELLO, m.HEADER.size + len(bitmap), self._next()) + bitmap
        )

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= m.HEADER.size:
            version, kind, length, number = m.HEADER.unpack_from(buffer, start)
            if length < m.HEADER.size:
                self.close(ConnectionResetError(f"a message of {length} bytes"))
                return
            if len(buffer) - start < length:
                break
            body = bytes(memoryview(buffer)[start + m.HEADER.size : start + length])
            start += length
            try:
                self._take(version, kind, number, body)
            except (struct.error, ValueError, IndexError, KeyError) as error:
                self.close(ConnectionResetError(f"a message of type {kind} can't be read: {error}"))
                return
        del buffer[:start]

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost(exc or ConnectionResetError("the switch closed the connection"))

    # -- ours

    @property
    def is_open(self) -> bool:
        """Whether the switch was there a moment ago."""
        return not self.gone.done()

    def close(self, why: Exception | None = None) -> None:
        """End it; who waits for an answer hears why."""
        if self._transport is not None:
            self._transport.abort()
        self._lost(why or ConnectionResetError("the connection was closed"))

    def _lost(self, why: Exception) -> None:
        exchanges, self._exchanges = self._exchanges, {}
        for exchange in {id(one): one for one in exchanges.values()}.values():
            if not exchange.done.done():
                exchange.done.set_exception(ConnectionResetError(str(why)))
        if not self.greeted.done():
            self.greeted.set_exception(ConnectionResetError(str(why)))
        if not self.gone.done():
            self.gone.set_result(None)

    def _next(self) -> int:
        self._number = self._number % 0xFFFFFFFE + 1
        return self._number

    def _take(self, version: int, kind: int, number: int, body: bytes) -> None:
        match kind:
            case m.HELLO:
                if not _speaks(version, body):
                    self.close(ConnectionResetError(f"the switch does not speak OpenFlow 1.4 but {version}"))
                elif not self.greeted.done():
                    self.greeted.set_result(None)
            case m.ECHO_REQUEST:
                self._send(m.ECHO_REPLY, body, number)
            case m.VENDOR_MESSAGE:
                packet = m.parse_packet_in(body)
                if packet is not None and self.on_packet is not None:
                    self.on_packet(packet)
            case m.ERROR:
                reason, code = struct.unpack_from("!HH", body)
                if (exchange := self._exchanges.get(number)) is not None:
                    exchange.refused(number, reason, code)
                    if number == exchange.last:
                        self._end(exchange)
                elif not self.greeted.done():
                    self.close(ConnectionResetError(m.error_name(reason, code)))
            case _:
                exchange = self._exchanges.get(number)
                if exchange is None or number != exchange.last:
                    if kind == m.MULTIPART_REPLY:
                        self.changes_heard.take(body)
                    return
                exchange.bodies.append(body)
                if kind == m.MULTIPART_REPLY and struct.unpack_from("!HH", body)[1] & m.MORE:
                    return
                self._end(exchange)

    def _end(self, exchange: _Exchange) -> None:
        self._forget(exchange)
        exchange.end()

    def _forget(self, exchange: _Exchange) -> None:
        for number in (*exchange.numbers, exchange.last):
            self._exchanges.pop(number, None)

    def _send(self, kind: int, body: bytes, number: int) -> None:
        assert self._transport is not None
        if len(body) + m.HEADER.size > 0xFFFF:
            raise BadFlow(f"a message of {len(body)} bytes is too long")
        self._transport.write(m.HEADER.pack(m.VERSION, kind, m.HEADER.size + len(body), number) + body)

    async def exchange(self, several: list[Message]) -> list[bytes]:
        """Send messages; the bodies of the answers to the last. Raises Refusal (of the first that was
        refused), ConnectionError, TimeoutError."""
        if not self.is_open:
            raise ConnectionResetError("the switch closed the connection")
        if self._number + len(several) > 0xFFFFFFF0:  # numbers of one exchange follow each other
            self._number = 0
        first = self._number + 1
        data = bytearray()
        for kind, body in several:
            length = len(body) + m.HEADER.size
            if length > 0xFFFF:
                raise BadFlow(f"a message of {length} bytes is too long")
            data += m.HEADER.pack(m.VERSION, kind, length, self._next())
            data += body
        exchange = self._exchange(range(first, self._number), self._number)
        assert self._transport is not None
        self._transport.write(bytes(data))
        return await self._answer(exchange)

    def _exchange(self, numbers: range, last: int) -> _Exchange:
        exchange = _Exchange(numbers, last, self.loop.create_future())
        self._exchanges.update(dict.fromkeys((*numbers, last), exchange))
        return exchange

    async def _answer(self, exchange: _Exchange) -> list[bytes]:
        try:
            async with asyncio.timeout(_ANSWERS_WITHIN_S):
                return await exchange.done
        except TimeoutError:
            self.close(TimeoutError("no answer"))
            raise
        finally:
            self._forget(exchange)

    async def question(self, body: bytes) -> bytes:
        """One multipart request: what all its replies say, joined."""
        bodies = await self.exchange([(m.MULTIPART_REQUEST, body)])
        return b"".join([body[8:] for body in bodies])

    async def changes(self, several: list[Message]) -> None:
        """Send messages and wait until the switch has done them all; raises Refusal."""
        await self.exchange([*several, (m.BARRIER_REQUEST, b"")])

    async def bundle(self, several: list[Message]) -> None:
        """All of these at once or none, in their order; raises Refusal with the place of the culprit."""
        number = self._number & 0x7FFFFFFF
        start = [(m.BUNDLE_CONTROL, m.bundle_control(number, m.OPEN))]
        place = self._number + 2
        if place + len(several) > 0xFFFFFFF0:
            place, self._number = 2, 0
        adds = [
            (m.BUNDLE_ADD, m.bundle_add(number, place + index, kind, body))
            for index, (kind, body) in enumerate(several)
        ]
        try:
            await self.exchange([*start, *adds, (m.BUNDLE_CONTROL, m.bundle_control(number, m.CLOSE))])
        except Refusal as refusal:
            with contextlib.suppress(Refusal):
                await self.exchange([(m.BUNDLE_CONTROL, m.bundle_control(number, m.DISCARD))])
            raise Refusal(refusal.place - 1, refusal.kind, refusal.code) from None
        # Errors of a commit bear the numbers of the messages inside of the bundle.
        exchange = self._exchange(range(place, place + len(several)), self._next())
        self._send(m.BUNDLE_CONTROL, m.bundle_control(number, m.COMMIT), exchange.last)
        await self._answer(exchange)

    async def hear_changes(self) -> ChangesHeard:
        """Ask to be told when others change flows. What this connection itself changes is not told. Raises
        Refusal where the switch knows no monitors."""
        if not self._is_monitored:
            await self.question(m.monitor_request())
            self._is_monitored = True
            self.gone.add_done_callback(lambda _: self.changes_heard.came.set())
        return self.changes_heard

    async def hear_packets(self) -> asyncio.Queue[m.PacketIn | None]:
        """Ask for packets that flows send to the controller; None ends them. What comes faster than it is
        read is lost, as on any busy wire."""
        queue: asyncio.Queue[m.PacketIn | None] = asyncio.Queue(_WAITING_PACKETS)

        def take(packet: m.PacketIn | None) -> None:
            with contextlib.suppress(asyncio.QueueFull):
                queue.put_nowait(packet)

        def end(_: asyncio.Future[None]) -> None:
            while queue.full():
                queue.get_nowait()
            queue.put_nowait(None)

        self.on_packet = take
        self.gone.add_done_callback(end)
        await self.changes(
            [(m.VENDOR_MESSAGE, m.packet_in_format()), (m.SET_CONFIG, struct.pack("!HH", 0, 0xFFFF))]
        )
        return queue


def _speaks(version: int, body: bytes) -> bool:
    """Whether a greeting's sender speaks our version: by its bitmap (OpenFlow 1.4, 7.5.1) or its own."""
    start = 0
    while start + 4 <= len(body):
        kind, length = struct.unpack_from("!HH", body, start)
        if length < 4:
            break
        if kind == _VERSION_BITMAP and length >= 8:
            return bool(struct.unpack_from("!I", body, start + 4)[0] & 1 << m.VERSION)
        start += length + -length % 8
    return version >= m.VERSION


async def open_channel(path: Path) -> Channel:
    """Connect and greet; raises OSError, TimeoutError."""
    loop = asyncio.get_running_loop()
    _, channel = await loop.create_unix_connection(Channel, str(path))
    try:
        async with asyncio.timeout(_GREETS_WITHIN_S):
            await channel.greeted
    except BaseException:
        channel.close()
        raise
    return channel
