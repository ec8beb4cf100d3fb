"""Bodies that are no resource's: their types, and how a handler reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pileus.core.errors import Fault
from pileus.resource.types import BadValue, Type
from pileus.resource.wordings.neutron import HTTPBadRequest
from pileus.web.request import Request


def body_of(request: Request, refusal: Callable[[str], Fault] = HTTPBadRequest) -> Any:
    """Read the body as its route declares it; raise the refusal of what it is not."""
    kind = request.route.body
    assert isinstance(kind, Type)
    try:
        return kind.parse(request.json())
    except BadValue as bad:
        raise refusal(bad.text) from None


def _named(name: str, takes: type, schema: dict[str, Any]) -> Type:
    def parse(body: Any) -> Any:
        if not isinstance(body, dict) or not isinstance(body.get(name), takes):
            raise BadValue(f"Unable to find '{name}' in request body", value=body)
        return body

    return Type(name, parse, {"type": "object", "properties": {name: schema}, "required": [name]})


def text_named(name: str, inner: Type) -> Type:
    """A body with a text under a name: an id, any other of which is not found."""
    return _named(name, str, inner.schema)


def object_named(name: str, inner: Type) -> Type:
    """A body with an object under a name; the handler reads what is in it."""
    return _named(name, dict, inner.schema)
