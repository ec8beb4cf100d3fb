"""Answers at endpoints: guests' requests become questions to the server, its replies their answers.

Who asks is known by the endpoint and by the address that the connection comes from, which the switch lets
nobody forge. Headers that claim otherwise are not even read.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus

from pileus.core import log
from pileus.core.errors import Fault
from pileus.core.recurring import Trouble
from pileus.drivers.listening.listeners import Listeners, Listening, Place
from pileus.host.isolation import reason
from pileus.host.metadata import http
from pileus.host.metadata.plan import EndpointPlan
from pileus.host.metadata_endpoint import MetadataEndpoint
from pileus.wire.metadata import MetadataPost, MetadataReply, MetadataRequest

_log = log.get("host.metadata")

_ALL_AT_ONCE = 256
_GUEST_AT_ONCE = 8
_SAID_WITHIN_S = 10.0
_LINGERS_S = 2.0
_UNREAD = 65536
"""Octets of a refused request that are read off, at most."""
_REQUESTS = 100
"""Of one connection."""

Ask = Callable[[MetadataRequest | MetadataPost], Awaitable[MetadataReply]]


class EndpointApplier:
    """Opens and closes endpoints, and answers at them."""

    def __init__(self, host: str, listeners: Listeners, ask: Ask) -> None:
        self.opened: dict[MetadataEndpoint, int] = {}
        self.answered = 0
        self._host = host
        self._listeners = listeners
        self._ask = ask
        self._trouble = Trouble(_log, "guests' questions are not answered", host=host)
        self._listening: dict[MetadataEndpoint, Listening] = {}
        self._guests: Counter[tuple[MetadataEndpoint, str]] = Counter()

    def incarnation(self, namespace: str) -> int | None:
        """See Listeners."""
        return self._listeners.incarnation(namespace)

    async def apply(self, plan: EndpointPlan) -> dict[MetadataEndpoint, str]:
        """Do what is planned; the endpoints that could not be opened, with the reason."""
        for endpoint in plan.close:
            self._listening.pop(endpoint).close()
            del self.opened[endpoint]
        failed = {}
        for endpoint in plan.open:
            incarnation = self.incarnation(endpoint.namespace)
            place = Place(endpoint.namespace, endpoint.address, endpoint.port, endpoint.interface)
            try:
                listening = await self._listeners.listen(
                    place, partial(self._serve, endpoint), limit=http.LINE_LIMIT
                )
            except Exception as error:  # one endpoint keeps none of the others waiting
                failed[endpoint] = reason(error)
                continue
            self._listening[endpoint] = listening
            self.opened[endpoint] = incarnation or 0
        return failed

    async def _serve(
        self,
        endpoint: MetadataEndpoint,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        source: str,
    ) -> None:
        """One connection."""
        guest = (endpoint, source)
        self._guests[guest] += 1
        try:
            if self._guests[guest] <= _GUEST_AT_ONCE and self._guests.total() <= _ALL_AT_ONCE:
                await self._converse(endpoint, reader, writer, source)
            else:
                writer.write(_refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections at once"))
                await writer.drain()
        except (OSError, EOFError):
            pass  # the guest hung up
        finally:
            self._guests[guest] -= 1
            if not self._guests[guest]:
                del self._guests[guest]
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _converse(
        self,
        endpoint: MetadataEndpoint,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        source: str,
    ) -> None:
        for _ in range(_REQUESTS):
            try:
                async with asyncio.timeout(_SAID_WITHIN_S):
                    head = await _read_head(reader)
                    if head is None:
                        return
                    request = http.parse(head)
                    if request.waits:
                        writer.write(http.CONTINUE)
                    posted = await reader.readexactly(request.length)
            except TimeoutError:
                return
            except http.BadRequest as bad:
                writer.write(_refusal(bad.status, str(bad)))
                await _linger(reader, writer)
                return
            status, content_type, body = await self._answer(endpoint, request, posted, source)
            writer.write(http.reply(request, status, content_type, body, stays=request.stays))
            await writer.drain()
            if not request.stays:
                return

    async def _answer(
        self, endpoint: MetadataEndpoint, request: http.Request, posted: bytes, source: str
    ) -> tuple[int, str, bytes]:
        question: MetadataRequest | MetadataPost
        place = (endpoint.network_id, endpoint.router_id)
        if request.method == "POST":
            question = MetadataPost(self._host, request.path, source, posted, *place)
        else:
            question = MetadataRequest(self._host, request.path, source, *place)
        try:
            answer = await self._ask(question)
        except Fault as fault:
            self._trouble.fault(fault)
            return (
                HTTPStatus.SERVICE_UNAVAILABLE,
                "text/plain",
                b"The metadata service does not answer now.\n",
            )
        self._trouble.over()
        self.answered += 1
        return answer.status, answer.content_type, answer.body


async def _read_head(reader: asyncio.StreamReader) -> bytes | None:
    """Up to the empty line; None when the guest has no more to say."""
    head = b""
    while True:
        try:
            line = await reader.readline()
        except ValueError:  # longer than the stream's limit
            raise http.BadRequest(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "a line is too long") from None
        if not line.endswith(b"\n"):
            return None
        if line in (b"\r\n", b"\n"):
            if head:
                return head
            continue  # a client may end its last request with one too many (RFC 9112, 2.2)
        head += line
        if len(head) > http.HEAD_LIMIT:
            raise http.BadRequest(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "there are too many headers")


async def _linger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """End a connection whose guest may still be sending: it reads the refusal before its line is cut
    (RFC 9112, 9.6)."""
    await writer.drain()
    writer.write_eof()
    left = _UNREAD
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LINGERS_S):
            while left > 0 and (data := await reader.read(left)):
                left -= len(data)


def _refusal(status: HTTPStatus, text: str) -> bytes:
    return http.reply(None, status, "text/plain", f"{text}\n".encode())
