"""Regions, in a tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from pileus.core.context import Context
from pileus.core.errors import Conflict, Invalid
from pileus.core.ids import new_hex_id
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource, Update, Values
from pileus.resource.wordings.keystone import KEYSTONE
from pileus.services.identity.common.attributes import ADDITIONAL, DESCRIPTION, EXTRA
from pileus.services.identity.common.errors import ForbiddenNotSecurity, RegionNotFound, SchemaValidationError
from pileus.services.identity.common.generation import announce_many, announce_token_changes, changed_names
from pileus.services.identity.common.judging import judging
from pileus.services.identity.common.policy import ADMIN, NOT_DOMAINS, rules
from pileus.services.identity.tables.catalog import regions
from pileus.store.errors import Duplicate, Referenced
from pileus.store.tx import Tx
from pileus.web.crud import Crud, crud_routes, shown_reply
from pileus.web.noun import Noun
from pileus.web.parse import parse_create
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route


def _region_id(context: Context, values: Mapping[str, Any]) -> str:
    return new_hex_id()


REGION = Resource(
    "region",
    table=regions,
    wording=KEYSTONE,
    not_found=RegionNotFound,
    additional=ADDITIONAL,
    attributes=(
        Attribute(
            "id",
            types.normalised(types.nullable(types.string(255)), lambda value: value or new_hex_id()),
            default=_region_id,
            create=True,
            filter=True,
            sort=True,
        ),
        DESCRIPTION,
        Attribute(
            "parent_region_id",
            types.nullable(types.string(255, minimum=1)),
            create=True,
            update=True,
            filter=True,
        ),
        EXTRA,
    ),
)


class CircularRegionHierarchy(Invalid):
    """A region would be above itself (400)."""

    message = "The specified parent region {parent} would create a circular region hierarchy."


_PARENTS = select(regions.c.id, regions.c.parent_region_id)


def region_target(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """The parts that policy rules name of a region."""
    return {} if values is None else {"target.region.id": values["id"]}


def region_create(tx: Tx, context: Context, specs: list[Values]) -> list[Values]:
    """Make regions, with the ids that the caller chose or new ones."""
    try:
        REGION.insert(tx, context, specs)
    except Duplicate:
        raise Conflict(
            f"Conflict occurred attempting to store region - Duplicate ID, {specs[0]['id']}."
        ) from None
    except Referenced:
        raise RegionNotFound(id=specs[0]["parent_region_id"]) from None
    announce_many(tx, context, "region.create", [(spec["id"], {}) for spec in specs])
    return specs


def region_update(tx: Tx, context: Context, updates: list[Update]) -> list[Values]:
    """Change regions; none can come below itself."""
    moved = {
        one.original["id"]: one.changes["parent_region_id"]
        for one in updates
        if one.changes.get("parent_region_id") is not None
    }
    if moved:
        above = {row.id: row.parent_region_id for row in tx.rows(_PARENTS)}
        for key, parent in moved.items():
            _check_parent(above, key, parent)
    changed = REGION.change(tx, context, updates)
    announce_token_changes(tx, context, "region.update", changed_names(updates))
    return changed


def _check_parent(above: Mapping[str, str | None], key: str, parent: str) -> None:
    if parent not in above:
        raise RegionNotFound(id=parent)
    at: str | None = parent
    while at is not None:
        if at == key:
            raise CircularRegionHierarchy(parent=parent)
        at = above.get(at)


def region_delete(tx: Tx, context: Context, originals: list[Values]) -> None:
    """Delete regions that neither an endpoint nor another region needs."""
    try:
        with tx.savepoint():
            REGION.remove(tx, originals)
    except Referenced:
        raise ForbiddenNotSecurity(
            f"Unable to delete region {originals[0]['id']} because it or its child regions have associated "
            "endpoints."
        ) from None
    announce_token_changes(tx, context, "region.delete", [(one["id"], {}) for one in originals])


REGIONS = Crud(
    resource=REGION,
    create=region_create,
    update=region_update,
    delete=region_delete,
    judge=judging(REGION, region_target),
)


async def create_with_id(request: Request) -> Reply:
    """PUT /v3/regions/{id}: make a region with the id of the path."""
    key = request.path["id"]
    spec = parse_create(REGION, request)[0]
    if "id" in spec.given and spec["id"] != key:
        raise SchemaValidationError("Conflicting region IDs specified")
    spec["id"] = key
    request.authorise("identity:create_region")
    made = await request.write(region_create, request.context, [spec])
    return shown_reply(request, REGION, made[0], 201)


NOUN = Noun(
    name="region",
    routes=(
        *crud_routes(REGIONS, "/v3/regions"),
        Route(
            "PUT",
            "/v3/regions/{id}",
            create_with_id,
            resource=REGION,
            action="create",
            status=201,
            rule="identity:create_region",
            summary="Create a region with an id",
        ),
    ),
    rules=(
        *rules({"get_region": "", "list_regions": ""}),
        *rules({f"{verb}_region": ADMIN for verb in ("create", "update", "delete")}, NOT_DOMAINS),
    ),
)
