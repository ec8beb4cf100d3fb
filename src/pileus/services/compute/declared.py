"""The compute API's dialect with links, and the pieces of bodies that its nouns share."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pileus.core.errors import Fault, Invalid
from pileus.core.times import parse_time
from pileus.services.compute.errors import BadRequest, NotHereYet
from pileus.web import types
from pileus.web.dialects.nova import NovaDialect
from pileus.web.microversions import Version, parse, within
from pileus.web.types import BadValue, Type

if TYPE_CHECKING:
    from pileus.web.request import Request
    from pileus.web.resource import Resource

LINKED = frozenset({"flavor", "server"})
"""Resources whose views carry ``links`` to themselves."""


class ComputeDialect(NovaDialect):
    """Nova's, with ``links`` in each view of a flavor or server."""

    def status(self, fault: Fault) -> int:
        return 501 if isinstance(fault, NotHereYet) else super().status(fault)

    def decorate(self, request: Request, resource: Resource, view: dict[str, Any]) -> None:
        if resource.name in LINKED:
            view["links"] = links(request, resource.collection, view["id"])
        if view.get("swap") == 0 and not since(request, "2.75"):
            view["swap"] = ""  # no swap was an empty text for ten years


COMPUTE = ComputeDialect()

PATH = "/v2.1"


def links(request: Request, collection: str, key: str) -> list[dict[str, str]]:
    """``self`` and ``bookmark`` of one thing."""
    base = request.service_url
    return [
        {"rel": "self", "href": f"{base}{PATH}/{collection}/{key}"},
        bookmark(request, collection, key),
    ]


def bookmark(request: Request, collection: str, key: str) -> dict[str, str]:
    """The link without a version that embedded things have."""
    return {"rel": "bookmark", "href": f"{request.service_url}/{collection}/{key}"}


def since(request: Request, version: str) -> bool:
    """Whether the request speaks this microversion or a newer one."""
    return within((version, ""), request.version)


def _parse_name(value: Any) -> str:
    text: str = types.string(255, minimum=1).parse(value)
    if text != text.strip() or not text.isprintable():
        raise BadValue(
            f"'{value}' is not a valid name",
            f"{value!r} does not match '^(?![\\\\s])(?:[ -~]|[^\\\\x00-\\\\x7f])*(?<![\\\\s])$'",
            value=value,
        )
    return text


NAME = Type("name", _parse_name, {"type": "string", "minLength": 1, "maxLength": 255})
"""A name without spaces at its ends and without control characters."""

NOTHING = types.nullable(types.dict_of({}, additional=types.anything))
"""The argument of an action that takes none: null, or an object that means nothing."""


def body_of(request: Request, kind: Type) -> Any:
    """The request's body, checked against a type; raises the dialect's Invalid."""
    body = request.json()
    try:
        return kind.parse(body)
    except BadValue as bad:
        raise request.dialect.bad_value(str(bad.path[-1]) if bad.path else "body", body, bad) from None


def wrapped(name: str, fields: Mapping[str, Type], required: tuple[str, ...] = ()) -> Type:
    """``{name: {fields}}`` and nothing else."""
    return types.dict_of({name: types.dict_of(fields, required=required)}, required=(name,))


def by_version(make: Callable[[Version], Type]) -> Callable[[Request], Type]:
    """Types that differ by microversion, each made once."""
    cached = functools.cache(make)

    def of(request: Request) -> Type:
        assert request.version is not None
        return cached(request.version)

    return of


def at_least(version: Version, first: str) -> bool:
    """Whether ``version`` is ``first`` or newer."""
    return version >= parse(first)


def flag(request: Request, name: str) -> bool:
    """A boolean of the query; raises Invalid for what is none."""
    text = request.parameter(name)
    if text is None:
        return False
    if text == "":
        return True
    try:
        return bool(types.boolean.parse(text))
    except BadValue:
        raise Invalid(
            f"Invalid input for query parameters {name}. Value: {text}. '{text}' is not a boolean"
        ) from None


def time_asked(name: str, text: str) -> dt.datetime:
    """The time in a query parameter. Raises BadRequest."""
    try:
        return parse_time(text)
    except ValueError:
        raise BadRequest(
            f"Invalid input for query parameters {name}. Value: {text}. '{text}' is not a 'date-time'"
        ) from None
