"""Version documents: at the root of each service, and at the root of each of its versions."""

from __future__ import annotations

from pileus.resource import types
from pileus.web.dialects import ApiVersion
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request
from pileus.web.routes import Route
from pileus.web.service import Service

_DOCUMENT = types.dict_of({}, additional=types.anything)
"""A document of versions, which each service words in its own way."""


def discovery_routes(service: Service) -> list[Route]:
    """The routes, open to everybody, that answer with what ``service.versions`` declares."""
    if not service.versions:
        return []
    taken = {(route.method, route.path.rstrip("/")) for route in service.routes}
    routes = [_route("", _all(service))] if ("GET", "") not in taken else []
    for version in service.versions:
        path = version.path.rstrip("/")
        if path and ("GET", path) not in taken:
            routes.append(_route(path, _one(version)))
    return routes


def _route(path: str, handler: Handler) -> Route:
    return Route(
        "GET", path, handler, authenticated=False, reply=_DOCUMENT, summary="Show the API's versions"
    )


def _all(service: Service) -> Handler:
    async def handler(request: Request) -> Reply:
        status, document = request.dialect.versions_document(request, service.versions, request.service_url)
        return Reply.json(document, status)

    return handler


def _one(version: ApiVersion) -> Handler:
    async def handler(request: Request) -> Reply:
        return Reply.json(request.dialect.version_document(request, version, request.service_url))

    return handler
