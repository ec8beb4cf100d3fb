"""WebSockets: a path that a browser opens a stream of bytes at.

A socket has no token in its head, since browsers can set no headers there: its handler looks for something
else that says who may, and either accepts or leaves it at that, which refuses. A page of another origin may
open none: its browser says so in ``Origin``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import urlsplit

from pileus.core.clock import Clock
from pileus.core.errors import Fault
from pileus.core.streams import SocketStream
from pileus.resource.wording import Wording
from pileus.store import Store
from pileus.store.tx import Tx
from pileus.web.head import Head
from pileus.web.settings import WebSettings

P = ParamSpec("P")
T = TypeVar("T")

SUBPROTOCOL = "binary"
"""Older clients of consoles ask for it; it means bytes as they are."""


class Opening(Head):
    """A socket that somebody wants to open."""

    __slots__ = ("_receive", "_send", "accepted", "clock", "store")

    def __init__(
        self,
        scope: Mapping[str, Any],
        receive: Callable[[], Any],
        send: Callable[[Any], Any],
        settings: WebSettings,
        prefix: str,
        wording: Wording,
        path: Mapping[str, str],
        store: Store,
        clock: Clock,
    ) -> None:
        super().__init__(scope, settings, prefix, wording, path, dict(scope["headers"]), None)
        self._receive, self._send = receive, send
        self.store, self.clock = store, clock
        self.accepted = False

    @property
    def base_url(self) -> str:
        """The address of pages that may open this socket."""
        return super().base_url.replace("wss://", "https://", 1).replace("ws://", "http://", 1)

    @property
    def is_foreign(self) -> bool:
        """Whether a page of somebody else wants it opened."""
        origin = self.header("origin")
        own = urlsplit(self.base_url)
        return origin is not None and origin.lower() != f"{own.scheme}://{own.netloc}".lower()

    async def read(self, work: Callable[Concatenate[Tx, P], T], /, *args: P.args, **keywords: P.kwargs) -> T:
        """Run a reading unit in the store."""
        return await self.store.read(work, *args, **keywords)

    async def accept(self) -> SocketStream:
        """Open it."""
        offered = self.scope.get("subprotocols") or ()
        self.accepted = True
        await self._send(
            {"type": "websocket.accept", "subprotocol": SUBPROTOCOL if SUBPROTOCOL in offered else None}
        )
        return SocketStream(self._receive, self._send)

    async def refuse(self) -> None:
        """Refuse what was not accepted, if nobody has yet."""
        if not self.accepted:
            self.accepted = True
            await self._send({"type": "websocket.close"})


@dataclass(frozen=True, slots=True)
class Socket:
    """A path below a service's prefix, and what serves a socket there until it ends."""

    path: str
    handler: Callable[[Opening], Awaitable[None]]


async def serve(opening: Opening, handler: Callable[[Opening], Awaitable[None]] | None) -> None:
    """Let ``handler`` serve one; what it does not accept is refused (403), and so is what nobody serves."""
    await opening._receive()  # websocket.connect
    with contextlib.suppress(Fault):  # what is wrong with it a browser can't be told
        if handler is not None and not opening.is_foreign:
            await handler(opening)
    await opening.refuse()
