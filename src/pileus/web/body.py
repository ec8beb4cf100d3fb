"""The body of a request, checked by the type that its route declares."""

from __future__ import annotations

from typing import Any

from pileus.resource.types import BadValue
from pileus.web.request import Request
from pileus.web.routes import ByVersion


def declared_body(request: Request) -> Any:
    """The body as the declared type of the route parses it. Raises the dialect's Invalid."""
    body = request.json()
    kind = request.route.body
    if isinstance(kind, ByVersion):
        assert request.version is not None
        kind = kind.of(request.version)
    assert kind is not None, f"{request.route.path} declares no body"
    try:
        return kind.parse(body)
    except BadValue as bad:
        if not bad.path:
            raise request.dialect.unreadable(bad.schema) from None
        name, bad.path = str(bad.path[0]), bad.path[1:]
        raise request.dialect.bad_value(name, bad.value, bad) from None
