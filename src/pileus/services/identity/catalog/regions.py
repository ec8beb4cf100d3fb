"""Regions, in a tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column, ForeignKey, Table, bindparam, select

from pileus.core.context import Context
from pileus.core.errors import Conflict, Invalid
from pileus.core.ids import new_hex_id
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource, Update, Values
from pileus.resource.rows import fetch
from pileus.resource.wordings.keystone import KEYSTONE
from pileus.services.identity.declared import DESCRIPTION, EXTRA, merged
from pileus.services.identity.errors import ForbiddenNotSecurity, RegionNotFound
from pileus.services.identity.generation import announce, announce_turn
from pileus.store.errors import Duplicate, Referenced
from pileus.store.schema import JsonText, LongText, Name, metadata
from pileus.store.tx import Tx

regions = Table(
    "regions",
    metadata,
    Column("id", Name, primary_key=True),
    Column("parent_region_id", Name, ForeignKey("regions.id"), index=True),
    Column("description", LongText, nullable=False),
    Column("extra", JsonText),
)


def _region_id(context: Context, values: Mapping[str, Any]) -> str:
    return new_hex_id()


REGION = Resource(
    "region",
    table=regions,
    wording=KEYSTONE,
    not_found=RegionNotFound,
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
_DELETE = regions.delete().where(regions.c.id == bindparam("key"))


def region_target(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """What policy rules see of a region."""
    return {} if values is None else {"target.region.id": values["id"]}


def region_create(tx: Tx, context: Context, spec: Values) -> Values:
    """Make a region, with the id that the caller chose or a new one."""
    try:
        REGION.insert(tx, context, [spec])
    except Duplicate:
        raise Conflict(
            f"Conflict occurred attempting to store region - Duplicate ID, {spec['id']}."
        ) from None
    except Referenced:
        raise RegionNotFound(id=spec["parent_region_id"]) from None
    announce(tx, context, "region.create", spec["id"])
    return spec


def region_update(tx: Tx, context: Context, key: str, changes: Values) -> Values:
    """Change a region; it can't come below itself."""
    found = fetch(tx, REGION, [key], lock=True)
    if not found:
        raise RegionNotFound(id=key)
    parent = changes.get("parent_region_id")
    if parent is not None:
        above = {row.id: row.parent_region_id for row in tx.rows(_PARENTS)}
        if parent not in above:
            raise RegionNotFound(id=parent)
        at: str | None = parent
        while at is not None:
            if at == key:
                raise CircularRegionHierarchy(parent=parent)
            at = above.get(at)
    after = REGION.change(tx, context, [Update(found[0], merged(found[0], changes))])[0]
    announce_turn(tx, context, "region.update", key, changed=sorted(changes))
    return after


def region_delete(tx: Tx, context: Context, key: str) -> None:
    """Delete a region that neither an endpoint nor another region needs."""
    try:
        with tx.savepoint():
            deleted = tx.execute(_DELETE, {"key": key}).rowcount
    except Referenced:
        raise ForbiddenNotSecurity(
            f"Unable to delete region {key} because it or its child regions have associated endpoints."
        ) from None
    if not deleted:
        raise RegionNotFound(id=key)
    announce_turn(tx, context, "region.delete", key)
