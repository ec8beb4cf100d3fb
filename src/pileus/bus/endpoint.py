"""The server's end of the bus: an ASGI application below ``/wire/v1``.

``POST /wire/v1/call/{name}`` answers a row of the table of calls;
``POST /wire/v1/wakeups`` streams wake-ups for the scopes that the agent names, beginning
with their newest position, so that a reader who connects late sees that it is late;
``GET /wire/v1/streams/{name}`` is a WebSocket: a stream that a server has asked the node for (``streams``).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from pileus.bus.hub import Hub, Listener
from pileus.bus.node import Node, NodeTokens
from pileus.bus.streams import Streams
from pileus.core import log
from pileus.core.errors import Fault, Forbidden, Invalid, Kind, NotFound
from pileus.core.streams import SocketStream
from pileus.wire import scopes
from pileus.wire.agents import Wakeup
from pileus.wire.calls import ANSWER, CALLS, NODE_TOKEN
from pileus.wire.codec import CONTENT_TYPE, CallFault, WakeupRequest, decode, encode, encode_line
from pileus.wire.nodes import NodeTokenReply, NodeTokenRequest
from pileus.wire.questions import Answer
from pileus.wire.switch import Acknowledged

PREFIX = "/wire/v1/"
TOKEN_HEADER = b"x-node-token"
MAX_BODY_BYTES = 16 << 20
STREAMS = "streams/"
KEEP_ALIVE_S = 15.0
BODY_WITHIN_S = 60.0

ADMINISTRATION = "nodes/"
"""The path below which the controller asks."""

Handler = Callable[[Any, Node], Awaitable[msgspec.Struct]]
Administer = Callable[[Any], Awaitable[msgspec.Struct]]
Look = Callable[[str, tuple[str, ...]], Awaitable[tuple[frozenset[str], int]]]
"""``(host, scopes) -> (those that the host serves, their newest position)``"""

_STATUS = {
    Kind.INVALID: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.TOO_LARGE: 413,
    Kind.REQUEST_TIMEOUT: 408,
    Kind.TOO_MANY: 429,
    Kind.UNAVAILABLE: 503,
}

logger = log.get("bus")


class NoSuchCall(NotFound):
    message = "There is no call {name}."


class NotYourHost(Forbidden):
    message = "A node may speak for its own host only, not for {host}."


class NotYourScope(Forbidden):
    message = "A node may listen to what it serves only, not to {scope}."


class NoSuchScope(Invalid):
    message = "There is no scope {scope}."


class PlainTcp(Forbidden):
    message = "A node token is taken over TLS or the server's Unix socket only, not over plain TCP."


class BodyTooLarge(Fault):
    kind = Kind.TOO_LARGE
    message = "A call's body may hold {limit} bytes at most."


class Endpoint:
    """Answers agents. ``handlers`` are named as in the table of calls; ``look`` tells which of some scopes
    a host serves, and the newest position of those; ``tokens`` who may speak. ``administration`` is what
    the controller may ask, by name: the type of the request and what answers it; ``streams`` those that
    nodes are asked for."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        hub: Hub,
        look: Look,
        tokens: NodeTokens,
        administration: Mapping[str, tuple[type[msgspec.Struct], Administer]] | None = None,
        streams: Streams | None = None,
    ) -> None:
        unknown = handlers.keys() - CALLS.keys()
        if unknown:
            raise ValueError(f"not in the table of calls: {sorted(unknown)}")
        self._handlers: dict[str, Handler] = {
            **handlers,
            ANSWER.name: self._answer,
            NODE_TOKEN.name: self._renew,
        }
        self._hub = hub
        self._look = look
        self._tokens = tokens
        self._administration = administration or {}
        self.streams = streams or Streams(hub)
        self._closing = asyncio.Event()

    def close(self) -> None:
        """End all streams; agents will look for another server or wait for this one."""
        self._closing.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await self._stream(scope, receive, send)
            return
        started = time.perf_counter()
        name = scope["path"].removeprefix(PREFIX)
        try:
            if not _is_private(scope):
                raise PlainTcp
            token = _token(scope)
            if name.startswith(ADMINISTRATION):
                self._tokens.check_controller(token)
                reply = await self._administer(name.removeprefix(ADMINISTRATION), await _body(receive))
            else:
                node = self._tokens.check(token)
                body = await _body(receive)
                self._tokens.check_time(node)  # it may have been revoked while the body came
                if name == "wakeups":
                    await self._wakeups(node, decode(body, WakeupRequest), receive, send)
                    return
                reply = await self._call(name.removeprefix("call/"), body, node)
            await _reply(send, 200, encode(reply))
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            await _fault(send, Invalid(f"{name}: {error}"))
        except Fault as fault:
            await _fault(send, fault)
        except TimeoutError:
            await _fault(send, Invalid("The body did not arrive in time."))
        except Exception:
            logger.exception("call failed", call=name, seconds=round(time.perf_counter() - started, 4))
            await _fault(send, Fault(f"The call {name} failed; the server's log says why."))

    async def _stream(self, scope: Any, receive: Any, send: Any) -> None:
        """A node opens a stream. Whoever waits for it has it until one of them closes it."""
        await receive()  # websocket.connect
        name = scope["path"].removeprefix(PREFIX + STREAMS)
        try:
            if not _is_private(scope):
                raise PlainTcp
            node = self._tokens.check(_token(scope))
            self.streams.expect(name, node.host)
        except Fault as fault:
            logger.warning("a stream is refused", reason=str(fault))
            await send({"type": "websocket.close"})
            return
        await send({"type": "websocket.accept"})
        stream = SocketStream(receive, send)
        try:
            self.streams.opened(name, node.host, stream)
        except Fault:  # the other side gave up meanwhile
            await stream.close()
        await stream.closed.wait()

    async def _call(self, name: str, body: bytes, node: Node) -> msgspec.Struct:
        handler = self._handlers.get(name)
        if handler is None:
            raise NoSuchCall(name=name)
        request: Any = decode(body, CALLS[name].request)
        if request.host != node.host:
            raise NotYourHost(host=request.host)
        return await handler(request, node)

    async def _administer(self, name: str, body: bytes) -> msgspec.Struct:
        if name not in self._administration:
            raise NoSuchCall(name=name)
        kind, answer = self._administration[name]
        return await answer(decode(body, kind))

    async def _answer(self, answer: Answer, node: Node) -> Acknowledged:
        self._hub.answered(answer)
        return Acknowledged()

    async def _renew(self, request: NodeTokenRequest, node: Node) -> NodeTokenReply:
        return NodeTokenReply(self._tokens.renew(node))

    async def _wakeups(self, node: Node, request: WakeupRequest, receive: Any, send: Any) -> None:
        if request.host != node.host:
            raise NotYourHost(host=request.host)
        for scope in request.scopes:
            _check_scope(scope, node)
        listener = self._hub.listen(request.scopes, node.host)
        gone = asyncio.create_task(_disconnected(receive))
        closing = asyncio.create_task(self._closing.wait())
        try:
            # Listen first, then read: a change between the two is told twice, never missed.
            served, position = await self._look(node.host, request.scopes)
            stream = _Stream(node.host, listener, self._look, served)
            await send(
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": [(b"content-type", b"application/x-ndjson")],
                }
            )
            await _line(send, Wakeup(position))
            while True:
                wakeup = asyncio.create_task(stream.next())
                await asyncio.wait({wakeup, gone, closing}, return_when=asyncio.FIRST_COMPLETED)
                if not wakeup.done():
                    wakeup.cancel()
                    break
                try:
                    self._tokens.check_time(node)
                except Fault:
                    break
                if listener.left:
                    break
                if told := wakeup.result():
                    await _line(send, told)
            if not gone.done():
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            closing.cancel()
            self._hub.leave(listener)


class _Stream:
    """One stream's scopes: of those that it named the ones that its host serves.

    An agent may name a thing a moment before it is its own, and would not hear of it later: so what it
    did not serve when it began to listen is looked at again when it changes.
    """

    def __init__(self, host: str, listener: Listener, look: Look, served: frozenset[str]) -> None:
        self._host = host
        self._listener = listener
        self._look = look
        self._served = served
        self._told = time.monotonic()

    async def next(self) -> Wakeup | None:
        """The next wake-up, or an empty one in time to show that the stream lives; None for nothing."""
        wakeup = await self._listener.next(max(0.0, self._told + KEEP_ALIVE_S - time.monotonic()))
        new = tuple(scope for scope in wakeup.scopes if scope not in self._served)
        if new:
            self._served |= (await self._look(self._host, new))[0]
            theirs = tuple(scope for scope in wakeup.scopes if scope in self._served)
            wakeup = msgspec.structs.replace(wakeup, scopes=theirs)
        now = time.monotonic()
        if not (wakeup.scopes or wakeup.questions) and now < self._told + KEEP_ALIVE_S:
            return None
        self._told = now
        return wakeup


def _check_scope(scope: str, node: Node) -> None:
    """Raise NotYourScope or NoSuchScope for what no agent of this node would ever name."""
    try:
        kind, key = scopes.split(scope)
    except ValueError:
        raise NoSuchScope(scope=scope) from None
    if kind in scopes.OF_ONE_HOST:
        if key != node.host:
            raise NotYourScope(scope=scope)
    elif kind not in scopes.OF_WHAT_IS_SERVED | scopes.OF_THE_CLOUD:
        raise NoSuchScope(scope=scope)


def _is_private(scope: Any) -> bool:
    """Whether nobody listens to the connection: TLS, or a Unix socket (which has no port)."""
    server = scope.get("server")
    return scope.get("scheme") in ("https", "wss") or server is None or server[1] is None


def _token(scope: Any) -> str:
    found: bytes = next((value for key, value in scope["headers"] if key == TOKEN_HEADER), b"")
    return found.decode("latin-1")


async def _disconnected(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(receive: Any) -> bytes:
    async with asyncio.timeout(BODY_WITHIN_S):
        return await _whole_body(receive)


async def _whole_body(receive: Any) -> bytes:
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
