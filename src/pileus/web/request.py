"""A request as handlers see it, after the door: routed, authenticated, its body read.

A handler says four things: parse, authorise, call, show::

    async def create_port(request: Request) -> Reply:
        specs = parse_create(PORT, request)
        request.authorise("create_port", specs[0])
        ports = await request.write(port_create, request.context, specs)
        return Reply.json({"port": show(PORT, request, ports[0])}, 201)
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import msgspec

from pileus.core.context import Context
from pileus.store.tx import Tx
from pileus.web.access import Access
from pileus.web.bodies import ClientGone, stream
from pileus.web.microversions import Version
from pileus.web.reading import read_json, read_query
from pileus.web.routes import Route

if TYPE_CHECKING:
    from pileus.web.app import App
    from pileus.web.dialects import Dialect
    from pileus.web.service import Service

P = ParamSpec("P")
T = TypeVar("T")

_UNREAD = object()
_MESSAGES_AFTER_BODY = 3
"""A server may tell the end of a body more than once; one that tells it for ever tells nothing."""
_GLOBAL_ID = re.compile(r"req-[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class Request:
    """One request. ``path`` holds the values of the path's parameters, ``query`` the query's pairs."""

    __slots__ = (
        "_access",
        "_headers",
        "_json",
        "_query",
        "app",
        "body",
        "context",
        "path",
        "receive",
        "route",
        "scope",
        "service",
        "version",
    )

    def __init__(
        self,
        app: App,
        scope: Mapping[str, Any],
        receive: Callable[[], Any],
        service: Service,
        route: Route,
        path: Mapping[str, str],
        headers: dict[bytes, bytes],
        context: Context,
        version: Version | None,
    ) -> None:
        self.app = app
        self.scope = scope
        self.receive = receive
        self.service = service
        self.route = route
        self.path = path
        self.context = context
        self.body = b""
        self.version = version
        self._headers = headers
        self._json: Any = _UNREAD
        self._query: list[tuple[str, str]] | None = None
        self._access: Access | None = None

    @property
    def dialect(self) -> Dialect:
        return self.service.dialect

    @property
    def method(self) -> str:
        return str(self.scope["method"])

    def header(self, name: str) -> str | None:
        """A header's value, by name in any case; of repeated ones the last."""
        value = self._headers.get(name.lower().encode("ascii"))
        return None if value is None else value.decode("latin-1")

    @property
    def global_id(self) -> str | None:
        """The caller's id of the whole that this is part of (``X-OpenStack-Request-ID``), if well formed."""
        text = self.header("x-openstack-request-id")
        return text if text is not None and _GLOBAL_ID.fullmatch(text) else None

    @property
    def query(self) -> list[tuple[str, str]]:
        """The query's pairs, repeated names and empty values kept; raises the dialect's Invalid."""
        if self._query is None:
            text = self.scope["query_string"]
            try:
                self._query = read_query(text) if text else []
            except ValueError as error:
                raise self.dialect.bad_part("query", str(error)) from None
        return self._query

    def parameter(self, name: str) -> str | None:
        """The last value of a query parameter."""
        found = None
        for key, value in self.query:
            if key == name:
                found = value
        return found

    @property
    def base_url(self) -> str:
        """Where the client found this server: scheme and host, without a slash at the end."""
        if self.app.settings.public_url:
            return self.app.settings.public_url.rstrip("/")
        forwarded_host, forwarded_scheme = self.app.settings.proxies.forwarded(self.scope)
        host = forwarded_host or self.header("host")
        if host is None:
            address = self.scope.get("server") or ("localhost", 80)
            host = f"{address[0]}:{address[1]}"
        return f"{forwarded_scheme or self.scope.get('scheme', 'http')}://{host}"

    @property
    def client_address(self) -> str:
        """The address of whoever asks, also behind a trusted proxy; empty for the Unix socket.

        Clients are counted by ``web.client.share_of(address)``.
        """
        return self.app.settings.proxies.client_address(self.scope)

    @property
    def service_url(self) -> str:
        """The base of this service's paths."""
        return self.base_url + self.service.prefix

    @property
    def path_url(self) -> str:
        """This request's address without its query."""
        return self.base_url + str(self.scope["path"])

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
        return stream(self.receive, self.app.settings.bodies)

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
        """What this caller may do and see."""
        if self._access is None:
            self._access = Access(self.app.policy, self.context, self.dialect, self.version)
        return self._access

    def authorise(self, rule: str, target: Mapping[str, Any] | None = None) -> None:
        """Raise the dialect's refusal unless the rule allows this caller the target."""
        self.access.require(rule, target)

    async def read(self, work: Callable[Concatenate[Tx, P], T], /, *args: P.args, **keywords: P.kwargs) -> T:
        """Run a reading unit in the store."""
        return await self.app.store.read(work, *args, **keywords)

    async def write(self, work: Callable[Concatenate[Tx, P], T], /, *args: P.args, **keywords: P.kwargs) -> T:
        """Run a unit of work to its commit. The store sees to it that a commit under way is not cancelled."""
        return await self.app.store.write(work, *args, **keywords)
