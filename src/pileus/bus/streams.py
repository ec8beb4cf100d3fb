"""Streams of bytes between a server and a node: the server asks, and the node opens one.

A node is called by nobody: it has connections to the server, not the other way round. So the server asks it a
question (``hub.ask``) that names the stream, and the node answers by opening ``/wire/v1/streams/NAME`` as a
WebSocket, with its token. The name is a secret of the two, and is good for one stream of the host that was
asked.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

from pileus.bus.hub import Hub
from pileus.core.errors import NotFound, Unavailable
from pileus.core.ids import new_id
from pileus.core.streams import ByteStream
from pileus.wire.questions import Question

OPENS_WITHIN_S = 10.0


class NoSuchStream(NotFound):
    message = "Nobody waits for this stream."


class StreamRefused(Unavailable):
    message = "The host {host} can't open the stream: {reason}"


class _Waiting:
    """A stream that a host was asked for."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.opened: asyncio.Future[ByteStream] = asyncio.get_running_loop().create_future()


class Streams:
    """The streams that this server waits for, by their names."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._waiting: dict[str, _Waiting] = {}

    async def open(self, host: str, scope: str, kind: str, **arguments: Any) -> ByteStream:
        """Ask who listens to ``scope`` at ``host`` for a stream; the question has its name in ``stream``.

        Raises StreamRefused with the reason, or NobodyAnswers. Whoever asked closes it.
        """
        name = secrets.token_urlsafe(24)
        waiting = self._waiting[name] = _Waiting(host)
        try:
            question = Question(new_id(), kind, {**arguments, "stream": name})
            answer = await self._hub.ask(scope, question, OPENS_WITHIN_S)
            if answer.error is not None:
                raise StreamRefused(host=host, reason=answer.error)
            async with asyncio.timeout(OPENS_WITHIN_S):
                return await asyncio.shield(waiting.opened)
        except TimeoutError:
            raise StreamRefused(host=host, reason="it did not come") from None
        except BaseException:
            if waiting.opened.done():
                await waiting.opened.result().close()
            raise
        finally:
            del self._waiting[name]

    def expect(self, name: str, host: str) -> None:
        """Raise NoSuchStream unless this host was asked for this stream, which is not there yet."""
        waiting = self._waiting.get(name)
        if waiting is None or waiting.host != host or waiting.opened.done():
            raise NoSuchStream

    def opened(self, name: str, host: str, stream: ByteStream) -> None:
        """Hand a stream that the host has opened to whoever waits for it. Raises as ``expect``."""
        self.expect(name, host)
        self._waiting[name].opened.set_result(stream)
