"""Endpoints: where a service is found, by interface and region."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from typing import Any

from sqlalchemy import bindparam, select

from pileus.core.context import Context
from pileus.core.errors import Invalid
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource, Update, Values
from pileus.resource.wordings.keystone import KEYSTONE
from pileus.services.identity.common.attributes import ADDITIONAL, ENABLED, EXTRA, ID
from pileus.services.identity.common.errors import EndpointNotFound
from pileus.services.identity.common.generation import announce_many, announce_token_changes, changed_names
from pileus.services.identity.common.judging import judging
from pileus.services.identity.common.policy import ADMIN, NOT_DOMAINS, READ, rules
from pileus.services.identity.tables.catalog import endpoints, regions, services
from pileus.store.tx import Tx
from pileus.web.crud import Crud, crud_routes
from pileus.web.noun import Noun
from pileus.web.request import Request

ENDPOINT = Resource(
    "endpoint",
    table=endpoints,
    wording=KEYSTONE,
    not_found=EndpointNotFound,
    additional=ADDITIONAL,
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
        Attribute("makes_region", types.strict_boolean, visible=False),
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
"""The names that ``$(name)s`` or ``%(name)s`` in a URL may have."""

HOLE = re.compile(r"[$%]\((\w+)\)s")

_SERVICES = select(services.c.id).where(services.c.id.in_(bindparam("ids", expanding=True)))
_REGIONS = select(regions.c.id).where(regions.c.id.in_(bindparam("ids", expanding=True)))


def endpoint_target(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """The parts that policy rules name of an endpoint."""
    return {} if values is None else {"target.endpoint.id": values.get("id")}


async def note_region(request: Request, values: Values) -> None:
    """Note that a region that is missing is to be made, where the body says ``region``, not ``region_id``."""
    body = request.json()["endpoint"]
    values["makes_region"] = "region" in body and "region_id" not in body


def endpoint_create(tx: Tx, context: Context, specs: list[Values]) -> list[Values]:
    """Make endpoints, and regions that are missing where ``makes_region`` says so."""
    _check(tx, context, specs)
    ENDPOINT.insert(tx, context, specs)
    made = [(spec["id"], {"service_id": spec["service_id"]}) for spec in specs]
    announce_token_changes(tx, context, "endpoint.create", made)
    return specs


def endpoint_update(tx: Tx, context: Context, updates: list[Update]) -> list[Values]:
    """Change endpoints."""
    _check(tx, context, [update.changes for update in updates])
    changed = ENDPOINT.change(tx, context, updates)
    announce_token_changes(tx, context, "endpoint.update", changed_names(updates, hidden={"makes_region"}))
    return changed


def endpoint_delete(tx: Tx, context: Context, originals: list[Values]) -> None:
    """Delete endpoints."""
    ENDPOINT.remove(tx, originals)
    announce_token_changes(tx, context, "endpoint.delete", [(one["id"], {}) for one in originals])


def _check(tx: Tx, context: Context, several: Sequence[Values]) -> None:
    for values in several:
        if "url" in values and not set(HOLE.findall(values["url"])) <= SUBSTITUTIONS:
            raise URLValidationError(url=values["url"])
    wanted = {values["service_id"] for values in several if "service_id" in values}
    if wanted - {row.id for row in _rows(tx, _SERVICES, wanted)}:
        raise MissingReference(attribute="endpoint service_id", target="service table")
    named = {values["region_id"]: values for values in several if values.get("region_id")}
    missing = named.keys() - {row.id for row in _rows(tx, _REGIONS, named.keys())}
    if not all(named[key].get("makes_region") for key in missing):
        raise MissingReference(attribute="endpoint region_id", target="region table")
    if missing:
        new = {"parent_region_id": None, "description": "", "extra": None}
        tx.insert(regions, [{"id": key, **new} for key in sorted(missing)])
        announce_many(tx, context, "region.create", [(key, {}) for key in sorted(missing)])


def _rows(tx: Tx, statement: Any, ids: Set[str]) -> Sequence[Any]:
    return tx.rows(statement, {"ids": sorted(ids)}) if ids else ()


ENDPOINTS = Crud(
    resource=ENDPOINT,
    create=endpoint_create,
    update=endpoint_update,
    delete=endpoint_delete,
    judge=judging(ENDPOINT, endpoint_target),
    prepare=note_region,
)

NOUN = Noun(
    name="endpoint",
    routes=crud_routes(ENDPOINTS, "/v3/endpoints"),
    rules=rules(
        {
            "get_endpoint": READ,
            "list_endpoints": READ,
            "create_endpoint": ADMIN,
            "update_endpoint": ADMIN,
            "delete_endpoint": ADMIN,
        },
        NOT_DOMAINS,
    ),
)
