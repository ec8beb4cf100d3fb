"""Services: a type, such as ``network``, and a name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Boolean, Column, Table, bindparam

from pileus.core.context import Context
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource, Update, Values
from pileus.resource.rows import fetch
from pileus.resource.wordings.keystone import KEYSTONE
from pileus.services.identity.declared import DESCRIPTION, ENABLED, EXTRA, ID, merged
from pileus.services.identity.errors import ServiceNotFound
from pileus.services.identity.generation import announce_turn
from pileus.store.schema import Id, JsonText, LongText, Name, metadata
from pileus.store.tx import Tx

services = Table(
    "services",
    metadata,
    Column("id", Id, primary_key=True),
    Column("type", Name, nullable=False),
    Column("name", Name, nullable=False),
    Column("description", LongText, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("extra", JsonText),
)

SERVICE = Resource(
    "service",
    table=services,
    wording=KEYSTONE,
    not_found=ServiceNotFound,
    attributes=(
        ID,
        Attribute("type", types.string(255, minimum=1), create=True, update=True, required=True, filter=True),
        Attribute("name", types.string(255), default="", create=True, update=True, filter=True, sort=True),
        DESCRIPTION,
        ENABLED,
        EXTRA,
    ),
)

_DELETE = services.delete().where(services.c.id == bindparam("key"))


def service_target(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """What policy rules see of a service."""
    return {} if values is None else {"target.service.id": values["id"]}


def service_create(tx: Tx, context: Context, spec: Values) -> Values:
    """Make a service."""
    SERVICE.insert(tx, context, [spec])
    announce_turn(tx, context, "service.create", spec["id"], type=spec["type"])
    return spec


def service_update(tx: Tx, context: Context, key: str, changes: Values) -> Values:
    """Change a service."""
    found = fetch(tx, SERVICE, [key], lock=True)
    if not found:
        raise ServiceNotFound(id=key)
    after = SERVICE.change(tx, context, [Update(found[0], merged(found[0], changes))])[0]
    announce_turn(tx, context, "service.update", key, changed=sorted(changes))
    return after


def service_delete(tx: Tx, context: Context, key: str) -> None:
    """Delete a service with its endpoints."""
    if not tx.execute(_DELETE, {"key": key}).rowcount:
        raise ServiceNotFound(id=key)
    announce_turn(tx, context, "service.delete", key)
