"""One service asking another in its caller's name, without a connection between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from pileus.core.errors import NotFound
from pileus.resource.versions import Version, within
from pileus.web.reply import encode
from pileus.web.request import Request
from pileus.web.routes import Route, Router
from pileus.web.service import Service

_KEPT = (b"host", b"x-auth-token", b"x-openstack-request-id")


class Forwarder:
    """Calls routes of other services of the app as the caller of a request, who is known already."""

    def __init__(self, services: Sequence[Service], router: Router) -> None:
        self._services = {service.type: service for service in services}
        self._router = router

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
    ) -> Any:
        """Call ``method path`` (``/v2.0/floatingips``) of a service, at the oldest microversion that it has.

        The document that it answers with; None for an empty one. Raises whatever the service refuses with,
        NotFound where it is not served here.
        """
        service = self._services.get(service_type)
        found = None if service is None else self._router.find(service.prefix + path)
        if service is None or found is None:
            raise NotFound
        leaf, values = found
        version = None if service.microversions is None else service.microversions.minimum
        route = next(one for one in leaf.methods[method] if version is None or within(one.versions, version))
        forwarded = self._request(request, service, route, values, version, query, media_type)
        forwarded.body = b"" if body is None else encode(body)
        reply = await route.handler(forwarded)
        content = b"".join(reply.body) if isinstance(reply.body, list) else reply.body
        assert isinstance(content, bytes), f"{path} answers with a stream"
        return msgspec.json.decode(content) if content else None

    def _request(
        self,
        request: Request,
        service: Service,
        route: Route,
        values: Mapping[str, str],
        version: Version | None,
        query: Sequence[tuple[str, str]],
        media_type: str,
    ) -> Request:
        context = request.context
        if service.caller_rules:
            context = request.parts.policy.of(service.type).fill(context, service.caller_rules)
        path = service.prefix + route.path
        for name, value in values.items():
            path = path.replace("{" + name + "}", quote(value, safe=""))
        scope = {
            **request.scope,
            "method": route.method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": urlencode(query).encode(),
        }
        headers = {name: kept for name in _KEPT if (kept := request.raw_header(name)) is not None}
        headers[b"content-type"] = media_type.encode()
        return Request(
            request.parts, scope, request.receive, service, route, values, headers, context, version
        )
