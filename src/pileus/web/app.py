"""The ASGI application: finds the route, checks the caller and the body, calls the handler, writes the reply.

Plain ASGI, no middleware: the order of things is the text of :meth:`App._serve`.
All services share one URL space, each below its prefix.

    app = create_app([identity, network], store=store, authenticator=check_token, policy=enforcer)

``authenticator`` is ``async (token) -> Context`` and raises Unauthenticated.
A fault becomes the JSON of the service that the path belongs to; an unexpected
exception is logged with its traceback and becomes a 500 that tells nothing but
the request id. A client that goes away is no error.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any

import msgspec

from pileus.core import log
from pileus.core.access_rules import AccessRule, allows
from pileus.core.clock import Clock, SystemClock
from pileus.core.context import Context
from pileus.core.errors import Fault, Kind, NotFound, Unauthenticated
from pileus.core.ids import new_request_id
from pileus.policy import Enforcer, Policies
from pileus.resource.versions import within
from pileus.store import TALLY, Store
from pileus.web import sockets
from pileus.web.bodies import Bodies, ClientGone
from pileus.web.client import share_of
from pileus.web.client_certificate import client_certificate, thumbprint
from pileus.web.discovery import discovery_routes
from pileus.web.faults import MethodNotAllowed, UnsupportedMediaType
from pileus.web.forwarding import Forwarder
from pileus.web.front import front_route, health_route
from pileus.web.openapi import openapi_route
from pileus.web.reply import Headers, Reply
from pileus.web.request import Parts, Request
from pileus.web.routes import ANYBODY, Leaf, Route, Router, routed_path, segments
from pileus.web.service import Service, Spelling
from pileus.web.settings import WebSettings
from pileus.web.sockets import Opening
from pileus.web.trace import Trace, Written, trace_of

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Authenticator = Callable[[str], Awaitable[Context]]

_log = log.get("web")
_WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def create_app(
    services: Sequence[Service],
    *,
    store: Store,
    authenticator: Authenticator,
    policy: Policies,
    clock: Clock | None = None,
    settings: WebSettings | None = None,
    written: Written | None = None,
) -> App:
    """Put the services together; ``written`` takes each request when it has ended.

    Raises ValueError for doubled routes and for rules that nobody declared.
    """
    settings = settings or WebSettings()
    return App(services, store, authenticator, policy, clock or SystemClock(), settings, written)


class App:
    """The application; call it as ASGI servers do."""

    def __init__(
        self,
        services: Sequence[Service],
        store: Store,
        authenticator: Authenticator,
        policy: Policies,
        clock: Clock,
        settings: WebSettings,
        written: Written | None = None,
    ) -> None:
        self._written = written
        self.services = tuple(services)
        self.store = store
        self.authenticator = authenticator
        self.clock = clock
        self._router = Router()
        self._parts = Parts(store, policy, clock, settings, Forwarder(services, self._router))
        self.bodies = Bodies(settings.bodies)
        for service in services:
            routes = [*service.routes, *discovery_routes(service)]
            if service.prefix:
                routes.append(health_route())
            _check_rules(routes, policy.of(service.type))
            self._router.add(service, service.prefix, routes, either_spelling=service.dialect.either_spelling)
        if services:
            at_root = [openapi_route(services), health_route()]
            if all(service.prefix for service in services):
                at_root.append(front_route(services))
            self._router.add(services[0], "", at_root)
        self._prefixes = sorted(services, key=lambda one: len(one.prefix), reverse=True)
        self._sockets = {
            service.prefix + socket.path: (service, socket)
            for service in services
            for socket in service.sockets
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _lifespan(receive, send)
        else:
            raise ValueError(f"Pileus's API speaks HTTP, not {scope['type']}")

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = new_request_id()
        extra: Headers = [(b"x-openstack-request-id", request_id.encode())]
        trace = trace_of(scope, request_id)
        TALLY.set(trace)
        try:
            reply = await self._answer(scope, receive, trace, extra)
            await _send(send, reply, extra, trace, head=scope["method"] == "HEAD")
            trace.status = reply.status
        except (ClientGone, ConnectionError):
            path = trace.path.partition("?")[0]
            _log.debug("the client went away", request_id=request_id, path=path)
        finally:
            if self._written is not None:
                trace.ended()
                self._written(trace)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = "/" + "/".join(segments(routed_path(scope)))
        service, socket = self._sockets.get(asked, (self.services[0], None))
        opening = Opening(
            scope,
            receive,
            send,
            self._parts.settings,
            service.prefix,
            service.dialect,
            {},
            self.store,
            self.clock,
        )
        try:
            await sockets.serve(opening, socket.handler if socket is not None else None)
        except (ClientGone, ConnectionError):
            _log.debug("the client of a socket went away", path=scope["path"])
        except Exception:
            _log.exception("unexpected failure of a socket", path=scope["path"])
            await opening.refuse()

    async def _answer(self, scope: Scope, receive: Receive, trace: Trace, extra: Headers) -> Reply:
        """The reply, whatever happens."""
        request_id = trace.request_id
        try:
            return await self._serve(scope, receive, trace, extra)
        except Fault as fault:
            trace.refused(fault)
            return self._fault(scope, fault, request_id)
        except (ClientGone, ConnectionError):
            raise
        except Exception:
            path = trace.path.partition("?")[0]
            _log.exception("unexpected failure", request_id=request_id, method=scope["method"], path=path)
            text = self._owner(scope["path"]).dialect.internal_message
            return self._fault(scope, InternalServerError(text), request_id)

    async def _serve(self, scope: Scope, receive: Receive, trace: Trace, extra: Headers) -> Reply:
        request_id = trace.request_id
        asked = routed_path(scope)
        found, spelling = self._router.find(asked), None
        if found is None:
            found, spelling = self._spelled(asked)
        # no database takes a NUL in a text, and nothing has one in its name
        if found is None or "\x00" in scope["path"]:
            raise NotFound
        leaf, path = found
        method = scope["method"]
        service: Service = leaf.owner
        headers = dict(scope["headers"])
        version = None
        if service.dialect.request_id_header:
            extra.append((service.dialect.request_id_header, request_id.encode()))
        if service.microversions:
            if spelling is not None and not spelling.versioned:
                version = service.microversions.minimum
            else:
                version = service.microversions.negotiate(headers)
                extra.extend(service.microversions.reply_headers(version))
        routes = leaf.methods.get(method) or (leaf.methods.get("GET") if method == "HEAD" else None)
        if routes is None:
            if method == "OPTIONS":
                return Reply(200, b"", [(b"allow", leaf.allow.encode())])
            if service.dialect.slash_names_nothing and asked.endswith("/"):
                raise NotFound
            extra.append((b"allow", leaf.allow.encode()))
            raise MethodNotAllowed(method=method)
        route = _in_window(routes, version)
        context = await self._context(route, service, scope, headers, request_id, extra)
        if service.caller_rules and context.user_id is not None:
            context = self._parts.policy.of(service.type).fill(context, service.caller_rules)
        trace.known(context)
        if spelling is not None:
            path = {**path, **spelling.values}
        request = Request(self._parts, scope, receive, service, route, path, headers, context, version)
        trace.global_id = request.global_id
        if spelling is not None and service.admit is not None:
            service.admit(request)
        if scope["query_string"]:
            request.query  # noqa: B018 - what can't be read is refused before the body is
        if method not in _WITH_BODY or route.stream:
            return await route.handler(request)
        anonymous = context.user_id is None
        with self.bodies.lease(lambda: share_of(request.client_address), anonymous=anonymous) as lease:
            request.body = await lease.read(receive, headers.get(b"content-length", b""))
            if request.body and service.dialect.strict_media and not _is_json(headers):
                raise UnsupportedMediaType
            return await route.handler(request)

    async def _context(
        self,
        route: Route,
        service: Service,
        scope: Scope,
        headers: dict[bytes, bytes],
        request_id: str,
        extra: Headers,
    ) -> Context:
        token = headers.get(b"x-auth-token")
        if token is None and route.authenticated:
            token = _bearer(headers)
            if token is not None:
                headers[b"x-auth-token"] = token  # where handlers look for the caller's own
        if token is None:
            if route.authenticated:
                extra.append((b"www-authenticate", b'Keystone uri="/identity/v3"'))
                raise Unauthenticated
            return Context(now=self.clock.now(), request_id=request_id)
        try:
            context = await self.authenticator(token.decode("latin-1"))
            if context.certificate:
                self._require_certificate(context.certificate, scope)
            if context.access_rules is not None:
                await self._require_access(context.access_rules, service, scope, headers)
        except Unauthenticated:
            if route.authenticated:
                extra.append((b"www-authenticate", b'Keystone uri="/identity/v3"'))
                raise
            return Context(now=self.clock.now(), request_id=request_id)
        if service.accept is not None:
            service.accept(context)
        return msgspec.structs.replace(context, now=self.clock.now(), request_id=request_id)

    def _require_certificate(self, wanted: str, scope: Scope) -> None:
        """Raise Unauthenticated unless the certificate that a token is bound to came with the request."""
        certificate = client_certificate(scope, self._parts.settings)
        if certificate is None or not hmac.compare_digest(thumbprint(certificate), wanted):
            raise Unauthenticated

    async def _require_access(
        self,
        rules: Sequence[AccessRule],
        service: Service,
        scope: Scope,
        headers: Mapping[bytes, bytes],
    ) -> None:
        """Raise Unauthenticated unless the token's access rules allow the request, as Keystone's middleware.

        A service that goes on for its user is known by a token of its own beside his. A path may be
        written with the service's prefix or without; slashes too many don't count, as for routes.
        """
        method, path = scope["method"], "/" + "/".join(segments(routed_path(scope)))
        if service.type == "identity" and method == "GET" and path.endswith("/v3/auth/tokens"):
            return
        proof = headers.get(b"x-service-token")
        if proof is not None:
            other = await self.authenticator(proof.decode("latin-1"))
            if not self._parts.policy.of("identity").check("service_role", other, {}).allowed:
                raise Unauthenticated
            return
        below = path.removeprefix(service.prefix) if path.startswith(f"{service.prefix}/") else path
        if not allows(rules, service.type, method, {path, below}):
            raise Unauthenticated

    def _fault(self, scope: Scope, fault: Fault, request_id: str) -> Reply:
        dialect = self._owner(scope["path"]).dialect
        accept = next((value for name, value in scope["headers"] if name == b"accept"), b"")
        reply = dialect.error_reply(dialect.status(fault), fault, request_id, accept.decode("latin-1"))
        if fault.retry_after_s is not None:
            reply.header("Retry-After", str(fault.retry_after_s))
        return reply

    def _spelled(self, path: str) -> tuple[tuple[Leaf, Mapping[str, str]] | None, Spelling | None]:
        """The leaf of a path that has no route as it is written, but in another spelling of its service."""
        service = self._owner(path)
        if service.spelling is None or not path.startswith(service.prefix):
            return None, None
        spelling = service.spelling(path[len(service.prefix) :])
        if spelling is None:
            return None, None
        return self._router.find(service.prefix + spelling.path), spelling

    def _owner(self, path: str) -> Service:
        """The service that speaks for a path that has no route: that of the longest matching prefix."""
        parts = segments(path)
        for service in self._prefixes:
            prefix = segments(service.prefix)
            if parts[: len(prefix)] == prefix:
                return service
        return self.services[0]


class InternalServerError(Fault):
    """Something that nobody foresaw (500). What it was stays in the log."""

    kind = Kind.INTERNAL


class VersionNotFound(NotFound):
    """The route is not there at the microversion asked for."""

    message = "The resource could not be found."


def _in_window(routes: Sequence[Route], version: Any) -> Route:
    if version is None:
        return routes[0]
    for route in routes:
        if within(route.versions, version):
            return route
    raise VersionNotFound


def _check_rules(routes: Sequence[Route], policy: Enforcer) -> None:
    """A rule that nobody declared is found when the app is made, not by the first request."""
    for route in routes:
        asked = [route.rule, *(action.rule for action in route.actions.values())]
        names = [rule for rule in asked if rule is not None and rule != ANYBODY]
        if route.resource is not None and route.action:
            resource = route.resource
            action = "get" if route.action == "list" else route.action
            for attribute in resource.attributes.values():
                guarded = attribute.guarded_view if action == "get" else attribute.policy
                settable = action == "get" or getattr(attribute, action, False)
                if guarded and settable:
                    names.append(resource.attribute_rule(action, attribute.name))
        for name in names:
            try:
                policy.needs_target(name)
            except KeyError:
                raise ValueError(
                    f"{route.method} {route.path}: no service declares the rule {name}"
                ) from None


def _bearer(headers: Mapping[bytes, bytes]) -> bytes | None:
    """The token of an OAuth 2.0 client (RFC 6750)."""
    kind, _, token = headers.get(b"authorization", b"").partition(b" ")
    return token.strip() or None if kind.lower() == b"bearer" else None


def _is_json(headers: dict[bytes, bytes]) -> bool:
    kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
    return kind == b"application/json" or kind.endswith(b"+json")


async def _send(send: Send, reply: Reply, extra: Headers, trace: Trace, *, head: bool) -> None:
    body = reply.body
    headers = reply.headers + extra
    if isinstance(body, bytes):
        if reply.status != 204:
            headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if head else body})
        trace.bytes = 0 if head else len(body)
    elif isinstance(body, list):
        headers.append((b"content-length", str(sum(map(len, body))).encode()))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        for chunk in [] if head else body:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            trace.bytes += len(chunk)
        await send({"type": "http.response.body", "body": b""})
    else:
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        if not head:
            async for chunk in body:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                trace.bytes += len(chunk)
        await send({"type": "http.response.body", "body": b""})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return
