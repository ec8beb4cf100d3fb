"""Types of replies: the pieces that nouns of several services share.

Replies are not parsed by them: they are what OpenAPI tells, and what the tests hold each reply against. So
they are exact: every field that is always there is required, and no other is allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.resource import types
from pileus.resource.types import Type

Fields = Mapping[str, Type]


def _as_it_is(value: Any) -> Any:
    return value


TEXT = types.string(None)
TEXT_OR_NULL = types.nullable(TEXT)
NULL = Type("null", _as_it_is, {"type": "null"})
FLAG = Type("boolean", _as_it_is, {"type": "boolean"})
COUNT = Type("count", _as_it_is, {"type": "integer", "minimum": 0})
COUNT_OR_NULL = types.nullable(COUNT)
INTEGER = Type("integer", _as_it_is, {"type": "integer"})
INTEGER_OR_NULL = types.nullable(INTEGER)
NUMBER = Type("number", _as_it_is, {"type": "number"})
MOMENT = Type("time", _as_it_is, {"type": "string", "format": "date-time"})
MOMENT_OR_NULL = types.nullable(MOMENT)
UUID = types.uuid
UUID_OR_NULL = types.nullable(UUID)
TEXTS = types.list_of(TEXT)
TEXT_BY_KEY = types.dict_of({}, additional=TEXT)


def always(fields: Fields, sometimes: Fields | None = None) -> Type:
    """An object that has all of ``fields``, and may have those that are there ``sometimes``."""
    return types.dict_of({**fields, **(sometimes or {})}, required=fields)


def named(name: str, kind: Type) -> Type:
    """``{name: …}``."""
    return always({name: kind})


def named_list(name: str, kind: Type, *, links: str = "") -> Type:
    """``{name: […]}``, and where there is a next page ``links`` to it."""
    return always({name: types.list_of(kind)}, {links: LINKS} if links else None)


LINKS = types.list_of(always({"rel": TEXT, "href": TEXT}))
