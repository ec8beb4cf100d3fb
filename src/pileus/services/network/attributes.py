"""Attributes that all nouns of the network API have, as this service keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.core.context import Context
from pileus.web import types
from pileus.web.resource import Attribute, fresh_id
from pileus.web.types import Type


def _project(context: Context, values: Mapping[str, Any]) -> str:
    return context.project_id or ""


NAME_TYPE = types.with_default_none(types.string(255), "")

ID = Attribute("id", types.uuid, default=fresh_id, filter=True, sort=True)
NAME = Attribute("name", NAME_TYPE, default="", create=True, update=True, filter=True, sort=True)
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

REFERENCE: Type = types.nullable(types.uuid)
