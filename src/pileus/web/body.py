"""The body of a request, checked by the type that its route declares."""

from __future__ import annotations

from typing import Any

from pileus.resource.types import BadValue, Type
from pileus.web.request import Request
from pileus.web.routes import ByVersion


def declared_body(request: Request, kind: Type | None = None) -> Any:
    """The body as the declared type of the route parses it. Raises the dialect's Invalid.

    ``kind`` is which of the types that a route takes where its path says more.
    """
    body = request.json()
    try:
        return request.dialect.parse(request, kind or body_type(request), body)
    except BadValue as bad:
        raise request.dialect.bad_body(body, bad) from None


def body_type(request: Request) -> Type:
    """The type of the body at the request's microversion."""
    kind = request.route.body
    assert kind is not None, f"{request.route.path} declares no body"
    if isinstance(kind, ByVersion):
        assert request.version is not None
        return kind.of(request.version)
    return kind
