"""The declaration of users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, false

from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.wordings.keystone import KEYSTONE
from pileus.services.identity.common.attributes import (
    ADDITIONAL,
    DOMAIN_ID,
    ENABLED,
    EXTRA,
    ID,
    NAME,
    OPTIONS,
)
from pileus.services.identity.common.errors import UserNotFound
from pileus.services.identity.tables.users import users

USER = Resource(
    "user",
    table=users,
    wording=KEYSTONE,
    not_found=UserNotFound,
    additional=ADDITIONAL,
    policy_columns={"target.domain_id": users.c.domain_id},
    attributes=(
        ID,
        NAME,
        DOMAIN_ID,
        ENABLED,
        Attribute("default_project_id", types.nullable(types.string(36)), create=True, update=True),
        Attribute("password", types.nullable(types.string(None)), create=True, update=True, visible=False),
        Attribute("password_hash", types.string(None), visible=False),
        Attribute("tokens_after", types.timestamp, visible=False),
        Attribute("password_expires_at", types.anything, compute=lambda values: None),
        OPTIONS,
        EXTRA,
    ),
)

_WHEN = types.string(64, pattern="(lt|lte|gt|gte|eq|neq):.*")


def _no_expiry(texts: Sequence[str]) -> ColumnElement[bool]:
    """``password_expires_at=lt:2026-01-31T00:00:00Z``: no password expires, so no user has such a time."""
    for text in texts:
        when = _WHEN.parse(text)
        types.timestamp.query(when.partition(":")[2])
    return false()


def _nobody(texts: Sequence[str]) -> ColumnElement[bool]:
    """There are no users of other identity providers."""
    return false()


USER_FILTERS = {
    "password_expires_at": _no_expiry,
    "idp_id": _nobody,
    "protocol_id": _nobody,
    "unique_id": _nobody,
}


def user_target(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """The parts that policy rules name of a user."""
    if values is None:
        return {}
    return {
        "target.user.id": values["id"],
        "target.user.domain_id": values["domain_id"],
        "target.domain_id": values["domain_id"],
        "user_id": values["id"],
    }
