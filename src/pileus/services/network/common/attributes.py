"""Attributes that all nouns of the network API have, as this service keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.core.context import Context
from pileus.resource import types
from pileus.resource.declaration import Attribute, fresh_id
from pileus.resource.types import BadValue, Type
from pileus.services.network.common.names import name_type


def _project(context: Context, values: Mapping[str, Any]) -> str:
    return context.project_id or ""


TEXT = types.string(255)

ID = Attribute("id", types.uuid, default=fresh_id, filter=True, sort=True)
NAME = Attribute("name", name_type(), default="", create=True, update=True, filter=True, sort=True)
PROJECT = Attribute(
    "project_id",
    types.string(36),
    alias="tenant_id",
    default=_project,
    create=True,
    filter=True,
    sort=True,
    description="The project that owns it; empty for what a system-wide administrator made for nobody.",
)
ADMIN_STATE_UP = Attribute(
    "admin_state_up", types.boolean, default=True, create=True, update=True, filter=True, sort=True
)

GREATEST = 2**31 - 1


def number(minimum: int | None = None, maximum: int = GREATEST) -> Type:
    """A whole number in any form that neutron-lib's ``convert_to_int`` takes: words of digits, booleans,
    fractions (which are cut off); within bounds."""

    def parse(value: Any) -> int:
        try:
            if isinstance(value, str) and len(value) > 40:
                raise ValueError
            found = int(value)
        except (TypeError, ValueError, OverflowError):
            raise BadValue(f"'{value}' is not an integer", value=value, conversion=True) from None
        if minimum == 0 and found < 0:
            raise BadValue(f"'{found}' should be non-negative", value=value)
        return int(bounds.parse(found))

    bounds = types.integer(-GREATEST if minimum is None else minimum, maximum)
    return Type("integer", parse, bounds.schema)


def one_of_numbers(*values: int) -> Type:
    """One of a few whole numbers, in any form that stands for one."""
    choice = types.enum(*values)
    return types.normalised(number(), choice.parse)


IP_VERSION = one_of_numbers(4, 6)


def given(inner: Type) -> Type:
    """``inner``, for an attribute that may be without a value and can't be given none."""
    return Type(inner.name, inner.parse, inner.schema, query=inner.query, accepts_none=True, show=inner.show)


MOST = 1000
"""Items of a list in a body: longer ones are not even read, since reading them takes a second."""

ZONE_HINTS = types.list_of(types.string(255), unique=True, maximum=MOST)

REFERENCE: Type = types.nullable(types.uuid)
