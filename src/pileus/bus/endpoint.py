"""The server's end of the bus: an ASGI application below ``/wire/v1``.

``POST /wire/v1/call/{name}`` answers a row of the table of calls;
``POST /wire/v1/wakeups`` streams wake-ups for the scopes that the agent names, beginning
with their newest position, so that a reader who connects late sees that it is late.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from pileus.bus.hub import Hub
from pileus.bus.node import Node, node_of_token
from pileus.core import log
from pileus.core.errors import Fault, Forbidden, Invalid, Kind, NotFound
from pileus.wire.agents import Wakeup
from pileus.wire.calls import ANSWER, CALLS
from pileus.wire.codec import CONTENT_TYPE, CallFault, WakeupRequest, decode, encode, encode_line
from pileus.wire.questions import Answer
from pileus.wire.switch import Acknowledged

PREFIX = "/wire/v1/"
TOKEN_HEADER = b"x-node-token"
MAX_BODY_BYTES = 16 << 20
KEEP_ALIVE_S = 15.0

Handler = Callable[[Any, Node], Awaitable[msgspec.Struct]]
NewestPosition = Callable[[tuple[str, ...]], Awaitable[int]]

_STATUS = {
    Kind.INVALID: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.TOO_LARGE: 413,
    Kind.TOO_MANY: 429,
    Kind.UNAVAILABLE: 503,
}

logger = log.get("bus")


class NoSuchCall(NotFound):
    message = "There is no call {name}."


class NotYourHost(Forbidden):
    message = "A node may speak for its own host only, not for {host}."


class BodyTooLarge(Fault):
    kind = Kind.TOO_LARGE
    message = "A call's body may hold {limit} bytes at most."


class Endpoint:
    """Answers agents. ``handlers`` are named as in the table of calls; ``newest_position`` tells
    the newest position of any of the given scopes; ``secret`` is the servers' node secret."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        hub: Hub,
        newest_position: NewestPosition,
        secret: bytes,
    ) -> None:
        unknown = handlers.keys() - CALLS.keys()
        if unknown:
            raise ValueError(f"not in the table of calls: {sorted(unknown)}")
        self._handlers = handlers
        self._hub = hub
        self._newest_position = newest_position
        self._secret = secret
        self._closing = asyncio.Event()

    def close(self) -> None:
        """End the open streams, so that the server can stop; agents come again."""
        self._closing.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        started = time.perf_counter()
        name = scope["path"].removeprefix(PREFIX)
        try:
            node = self._node(scope)
            body = await _body(receive)
            if name == "wakeups":
                await self._wakeups(node, decode(body, WakeupRequest), receive, send)
                return
            reply = await self._call(name.removeprefix("call/"), body, node)
            await _reply(send, 200, encode(reply))
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            await _fault(send, Invalid(f"{name}: {error}"))
        except Fault as fault:
            await _fault(send, fault)
        except Exception:
            logger.exception("call failed", call=name, seconds=round(time.perf_counter() - started, 4))
            await _fault(send, Fault(f"The call {name} failed; the server's log says why."))

    def _node(self, scope: Any) -> Node:
        token = next((value for key, value in scope["headers"] if key == TOKEN_HEADER), b"")
        return node_of_token(self._secret, token.decode("latin-1"))

    async def _call(self, name: str, body: bytes, node: Node) -> msgspec.Struct:
        handler: Handler | None = self._answer if name == ANSWER.name else self._handlers.get(name)
        if handler is None:
            raise NoSuchCall(name=name)
        request = decode(body, CALLS[name].request)
        host = getattr(request, "host", node.host)
        if host != node.host:
            raise NotYourHost(host=host)
        return await handler(request, node)

    async def _answer(self, answer: Answer, node: Node) -> Acknowledged:
        self._hub.answered(answer)
        return Acknowledged()

    async def _wakeups(self, node: Node, request: WakeupRequest, receive: Any, send: Any) -> None:
        if request.host != node.host:
            raise NotYourHost(host=request.host)
        listener = self._hub.listen(request.scopes)
        gone = asyncio.create_task(_disconnected(receive))
        closing = asyncio.create_task(self._closing.wait())
        try:
            # Listen first, then read: a change between the two is told twice, never missed.
            position = await self._newest_position(request.scopes)
            await send(
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": [(b"content-type", b"application/x-ndjson")],
                }
            )
            await _line(send, Wakeup(position))
            while True:
                wakeup = asyncio.create_task(listener.next(KEEP_ALIVE_S))
                await asyncio.wait({wakeup, gone, closing}, return_when=asyncio.FIRST_COMPLETED)
                if not wakeup.done():
                    wakeup.cancel()
                    break
                await _line(send, wakeup.result())
            if not gone.done():
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            closing.cancel()
            self._hub.leave(listener)


async def _disconnected(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(receive: Any) -> bytes:
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Invalid("The body did not arrive whole.")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > MAX_BODY_BYTES:
            raise BodyTooLarge(limit=MAX_BODY_BYTES)
        if not message.get("more_body"):
            return b"".join(chunks)


async def _line(send: Any, wakeup: Wakeup) -> None:
    await send({"type": "http.response.body", "body": encode_line(wakeup), "more_body": True})


async def _fault(send: Any, fault: Fault) -> None:
    await _reply(
        send, _STATUS.get(fault.kind, 500), encode(CallFault(fault.kind.value, fault.code, fault.text))
    )


async def _reply(send: Any, status: int, body: bytes) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", CONTENT_TYPE.encode()),
                (b"content-length", str(len(body)).encode()),
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
