"""The declaration of users."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, select

from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.types import BadValue
from pileus.resource.wordings.keystone import KEYSTONE
from pileus.services.identity.common.attributes import (
    ADDITIONAL,
    DOMAIN_ID,
    ENABLED,
    EXTRA,
    ID,
    NAME,
)
from pileus.services.identity.common.errors import (
    InvalidOperatorError,
    UserNotFound,
    ValidationTimeStampError,
)
from pileus.services.identity.tables.federation import federated_users
from pileus.services.identity.tables.users import users
from pileus.services.identity.users.options import USER_OPTIONS

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
        Attribute("password_expires_at", types.nullable(types.timestamp_plain)),
        Attribute("password_created_at", types.timestamp, visible=False),
        Attribute("password_self_service", types.strict_boolean, visible=False),
        Attribute("created_at", types.timestamp, visible=False),
        Attribute("last_active_at", types.timestamp, visible=False),
        Attribute("options", USER_OPTIONS, default={}, create=True, update=True),
        EXTRA,
    ),
)

_OPERATORS: Mapping[str, Callable[[Any, Any], ColumnElement[bool]]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
    "eq": operator.eq,
    "neq": operator.ne,
}


def _expiring(texts: Sequence[str]) -> ColumnElement[bool]:
    """``password_expires_at=lt:2026-01-31T00:00:00Z``; all the texts have to hold."""
    return and_(*map(_expires, texts))


def _expires(text: str) -> ColumnElement[bool]:
    word, colon, when = text.partition(":")
    if not colon or not word.isalpha():
        word, when = "eq", text
    if word not in _OPERATORS:
        raise InvalidOperatorError(operator=word)
    try:
        moment = types.timestamp.query(when if when.endswith("Z") else when + "Z")
    except BadValue:
        raise ValidationTimeStampError from None
    return _OPERATORS[word](users.c.password_expires_at, moment)


def _foreign(column: ColumnElement[Any]) -> Callable[[Sequence[str]], ColumnElement[bool]]:
    """The filter of users who came from an identity provider."""

    def condition(texts: Sequence[str]) -> ColumnElement[bool]:
        return users.c.id.in_(select(federated_users.c.user_id).where(column.in_(texts)))

    return condition


USER_FILTERS = {
    "password_expires_at": _expiring,
    "idp_id": _foreign(federated_users.c.idp_id),
    "protocol_id": _foreign(federated_users.c.protocol_id),
    "unique_id": _foreign(federated_users.c.unique_id),
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
