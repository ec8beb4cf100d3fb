"""Resource options: what an administrator says about one thing, beside what it is.

Source: the Identity API v3 reference, "Resource Options".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.resource import types
from pileus.resource.declaration import Attribute
from pileus.services.identity.common.errors import ForbiddenNotSecurity

IMMUTABLE = "immutable"


class ResourceUpdateForbidden(ForbiddenNotSecurity):
    """It is immutable (403)."""

    message = (
        'Unable to update immutable {type} resource: `{id}. Set resource option "immutable" to false first.'
    )


class ResourceDeleteForbidden(ForbiddenNotSecurity):
    """It is immutable (403)."""

    message = (
        'Unable to delete immutable {type} resource: `{id}. Set resource option "immutable" to false first.'
    )


OPTIONS = Attribute(
    "options",
    types.dict_of({IMMUTABLE: types.nullable(types.strict_boolean)}),
    default={},
    create=True,
    update=True,
)
"""An option that is null is taken away, one that is not named stays."""


def merged(before: Mapping[str, Any] | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options after a change."""
    return {name: value for name, value in {**(before or {}), **given}.items() if value is not None}


def is_immutable(values: Mapping[str, Any]) -> bool:
    """Whether it is changed and deleted by nobody, until it is so no longer."""
    return bool(values["options"].get(IMMUTABLE))


def require_mutable(kind: str, original: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
    """Raise ResourceUpdateForbidden for changes to what is immutable, but that it shall be so no longer."""
    if not is_immutable(original):
        return
    ends = not changes.get("options", {}).get(IMMUTABLE, True)
    if len(changes) > 1 or not ends:
        raise ResourceUpdateForbidden(type=kind, id=original["id"])


def require_deletable(kind: str, original: Mapping[str, Any]) -> None:
    """Raise ResourceDeleteForbidden for what is immutable."""
    if is_immutable(original):
        raise ResourceDeleteForbidden(type=kind, id=original["id"])
