"""A request as handlers see it: routed, authenticated, its body read.

A handler says four things: parse, authorise, call, show::

    async def create_port(request: Request) -> Reply:
        specs = parse_create(PORT, request)
        request.authorise("create_port", specs[0])
        ports = await request.write(port_create, request.context, specs)
        return Reply.json({"port": show(PORT, request, ports[0])}, 201)
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import msgspec

from pileus.core.clock import Clock
from pileus.core.context import Context
from pileus.policy import Policies
from pileus.resource.access import Access
from pileus.resource.versions import Version
from pileus.store import Store
from pileus.store.tx import Tx
from pileus.web.bodies import ClientGone, stream
from pileus.web.dialects import Dialect
from pileus.web.head import Head
from pileus.web.reading import read_json
from pileus.web.reply import Reply
from pileus.web.routes import Route
from pileus.web.service import Service
from pileus.web.settings import WebSettings

P = ParamSpec("P")
T = TypeVar("T")
V = TypeVar("V")

_UNREAD = object()
_ANY_TIME = dt.datetime.min
_MESSAGES_AFTER_BODY = 3
"""A server may tell the end of a body more than once; one that tells it for ever tells nothing."""


class Forward(Protocol):
    """How a service asks another of the app; ``web.forwarding.Forwarder`` does."""

    async def __call__(
        self,
        request: Request,
        service_type: str,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Sequence[tuple[str, str]] = (),
        media_type: str = "application/json",
    ) -> Any: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that all requests share."""

    store: Store
    policy: Policies
    clock: Clock
    settings: WebSettings
    forward: Forward


class Request(Head):
    """One request. ``path`` holds the values of the path's parameters, ``query`` the query's pairs."""

    __slots__ = ("_access", "_json", "body", "context", "parts", "receive", "route", "service")

    def __init__(
        self,
        parts: Parts,
        scope: Mapping[str, Any],
        receive: Callable[[], Any],
        service: Service,
        route: Route,
        path: Mapping[str, str],
        headers: Mapping[bytes, bytes],
        context: Context,
        version: Version | None,
    ) -> None:
        super().__init__(scope, parts.settings, service.prefix, service.dialect, path, headers, version)
        self.parts = parts
        self.receive = receive
        self.service = service
        self.route = route
        self.context = context
        self.body = b""
        self._json: Any = _UNREAD
        self._access: Access | None = None

    @property
    def caller(self) -> Context:
        return self.context

    @property
    def dialect(self) -> Dialect:
        """The conventions of the service that serves it."""
        return self.service.dialect

    def json(self) -> Any:
        """The body as JSON; raises the dialect's Invalid."""
        if self._json is _UNREAD:
            if not self.body:
                raise self.dialect.unreadable("the request has no body")
            try:
                self._json = read_json(self.body)
            except ValueError as error:
                raise self.dialect.unreadable(str(error)) from None
        return self._json

    def decode(self, kind: type[T]) -> T:
        """The body as a msgspec struct; raises the dialect's Invalid with msgspec's reason and path."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self.dialect.unreadable(str(error)) from None

    def stream(self) -> AsyncIterator[bytes]:
        """The parts of an unread body, for routes with ``stream=True``; raises ClientGone or BodyTooSlow."""
        return stream(self.receive, self.settings.bodies)

    async def while_there(self, work: Awaitable[T]) -> T:
        """Await something, and cancel it where the client hangs up meanwhile; raises ClientGone then.

        For what is dear and changes nothing, once the body was read.
        """
        task = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(self._hung_up())
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done() and gone.result():
                raise ClientGone
            return await task
        finally:
            task.cancel()
            gone.cancel()

    async def _hung_up(self) -> bool:
        """Return True when the client hangs up, and False where it can't be known."""
        for _ in range(_MESSAGES_AFTER_BODY):
            message = await self.receive()
            if message["type"] == "http.disconnect":
                return True
        return False

    @property
    def access(self) -> Access:
        """The caller's rights: what may be done and seen."""
        if self._access is None:
            self._access = Access(
                self.parts.policy.of(self.service.type), self.context, self.dialect, self.version
            )
        return self._access

    def authorise(self, rule: str, target: Mapping[str, Any] | None = None) -> None:
        """Raise the dialect's refusal unless the rule allows this caller the target."""
        self.access.require(rule, target)

    async def forward(
        self,
        service_type: str,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Sequence[tuple[str, str]] = (),
        media_type: str = "application/json",
    ) -> Any:
        """Ask another service in this caller's name; its document, None for an empty one.

        Raises whatever it refuses with. ``path`` has no prefix: ``/v2.0/floatingips``.
        """
        return await self.parts.forward(
            self, service_type, method, path, body, query=query, media_type=media_type
        )

    async def read(self, work: Callable[Concatenate[Tx, P], T], /, *args: P.args, **keywords: P.kwargs) -> T:
        """Run a reading unit in the store."""
        return await self.parts.store.read(work, *args, **keywords)

    async def write(self, work: Callable[Concatenate[Tx, P], T], /, *args: P.args, **keywords: P.kwargs) -> T:
        """Run a unit of work to its commit. The store sees to it that a commit under way is not cancelled."""
        return await self.parts.store.write(work, *args, **keywords)

    async def write_joined(
        self,
        key: Hashable,
        work: Callable[[Tx, Sequence[tuple[Request, V]]], Sequence[T]],
        value: V,
    ) -> T:
        """Run a unit of work for this request, and for others of the same caller that wait under this key."""
        caller = msgspec.structs.replace(self.context, now=_ANY_TIME, request_id="")
        whole = (key, self.service.type, self.version, tuple(self.path.items()), caller)
        return await self.parts.store.write_joined(whole, work, (self, value))


Handler = Callable[[Request], Awaitable[Reply]]
