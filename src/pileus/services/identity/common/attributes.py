"""Attributes that several resources of identity have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.core.context import Context
from pileus.resource import types
from pileus.resource.declaration import Additional, Attribute, fresh_hex_id

DEFAULT_DOMAIN = "default"


def home_domain(context: Context, values: Mapping[str, Any]) -> str:
    """The domain of what is made without naming one: that of a domain-scoped token, else the default one."""
    return context.domain_id or DEFAULT_DOMAIN


ID = Attribute("id", types.string(64), default=fresh_hex_id, filter=True, sort=True)
NAME = Attribute(
    "name", types.string(255, minimum=1), create=True, update=True, required=True, filter=True, sort=True
)
DOMAIN_ID = Attribute(
    "domain_id",
    types.string(64, minimum=1),
    create=True,
    update=True,
    filter=True,
    sort=True,
    default=home_domain,
)
ENABLED = Attribute(
    "enabled", types.strict_boolean, default=True, create=True, update=True, filter=True, sort=True
)
DESCRIPTION = Attribute(
    "description",
    types.with_default_none(types.string(None), ""),
    default="",
    create=True,
    update=True,
)
EXTRA = Attribute(
    "extra",
    types.Type("extra", lambda value: value, {"type": "object"}, accepts_none=True, show=lambda value: value),
)
"""The attributes of a body that nobody declared. Views show them among the others."""

ADDITIONAL = Additional("extra", ignored=frozenset({"links"}))
