"""Endpoints: where a service is found, by interface and region."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Boolean, Column, ForeignKey, String, Table, bindparam, select

from pileus.core.context import Context
from pileus.core.errors import Invalid
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource, Update, Values
from pileus.resource.rows import fetch
from pileus.resource.wordings.keystone import KEYSTONE
from pileus.services.identity.catalog.regions import regions
from pileus.services.identity.catalog.services import services
from pileus.services.identity.declared import ENABLED, EXTRA, ID, merged
from pileus.services.identity.errors import EndpointNotFound
from pileus.services.identity.generation import announce, announce_turn
from pileus.store.schema import Id, JsonText, LongText, Name, metadata
from pileus.store.tx import Tx

endpoints = Table(
    "endpoints",
    metadata,
    Column("id", Id, primary_key=True),
    Column("service_id", Id, ForeignKey("services.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("interface", String(8), nullable=False),
    Column("region_id", Name, ForeignKey("regions.id"), index=True),
    Column("url", LongText, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("extra", JsonText),
)

ENDPOINT = Resource(
    "endpoint",
    table=endpoints,
    wording=KEYSTONE,
    not_found=EndpointNotFound,
    attributes=(
        ID,
        Attribute(
            "service_id", types.string(64, minimum=1), create=True, update=True, required=True, filter=True
        ),
        Attribute(
            "interface",
            types.enum("admin", "internal", "public"),
            create=True,
            update=True,
            required=True,
            filter=True,
        ),
        Attribute(
            "region_id",
            types.nullable(types.string(255)),
            create=True,
            update=True,
            filter=True,
            alias="region",
        ),
        Attribute(
            "url",
            types.string(None, minimum=1, pattern=r"[a-zA-Z0-9+.-]+:.+"),
            create=True,
            update=True,
            required=True,
        ),
        ENABLED,
        EXTRA,
    ),
)


class MissingReference(Invalid):
    """A service or region that an endpoint names is not there (400)."""

    message = (
        "Expecting to find {attribute} in {target}. The server could not comply with the request since it is "
        "either malformed or otherwise incorrect. The client is assumed to be in error."
    )


class URLValidationError(Invalid):
    """A URL asks for a substitution that does not exist (400)."""

    message = "Cannot create an endpoint with an invalid URL: {url}."


SUBSTITUTIONS = frozenset({"project_id", "tenant_id", "user_id"})
"""What ``$(name)s`` or ``%(name)s`` in a URL may stand for."""

HOLE = re.compile(r"[$%]\((\w+)\)s")

_SERVICE = select(services.c.id).where(services.c.id == bindparam("id"))
_REGION = select(regions.c.id).where(regions.c.id == bindparam("id"))
_DELETE = endpoints.delete().where(endpoints.c.id == bindparam("key"))


def endpoint_target(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """What policy rules see of an endpoint."""
    return {} if values is None else {"target.endpoint.id": values.get("id")}


def endpoint_create(tx: Tx, context: Context, spec: Values, *, makes_region: bool = False) -> Values:
    """Make an endpoint; ``makes_region``: the caller wrote ``region``, and one that is missing is made."""
    _check(tx, context, spec, makes_region)
    ENDPOINT.insert(tx, context, [spec])
    announce_turn(tx, context, "endpoint.create", spec["id"], service_id=spec["service_id"])
    return spec


def endpoint_update(
    tx: Tx, context: Context, key: str, changes: Values, *, makes_region: bool = False
) -> Values:
    """Change an endpoint."""
    found = fetch(tx, ENDPOINT, [key], lock=True)
    if not found:
        raise EndpointNotFound(id=key)
    _check(tx, context, changes, makes_region)
    after = ENDPOINT.change(tx, context, [Update(found[0], merged(found[0], changes))])[0]
    announce_turn(tx, context, "endpoint.update", key, changed=sorted(changes))
    return after


def endpoint_delete(tx: Tx, context: Context, key: str) -> None:
    """Delete an endpoint."""
    if not tx.execute(_DELETE, {"key": key}).rowcount:
        raise EndpointNotFound(id=key)
    announce_turn(tx, context, "endpoint.delete", key)


def _check(tx: Tx, context: Context, values: Values, makes_region: bool) -> None:
    if "url" in values and not set(HOLE.findall(values["url"])) <= SUBSTITUTIONS:
        raise URLValidationError(url=values["url"])
    if "service_id" in values and tx.first(_SERVICE, {"id": values["service_id"]}) is None:
        raise MissingReference(attribute="endpoint service_id", target="service table")
    region_id = values.get("region_id")
    if region_id and tx.first(_REGION, {"id": region_id}) is None:
        if not makes_region:
            raise MissingReference(attribute="endpoint region_id", target="region table")
        tx.insert(regions, [{"id": region_id, "parent_region_id": None, "description": "", "extra": None}])
        announce(tx, context, "region.create", region_id)
