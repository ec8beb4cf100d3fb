"""Resource classes. Source: Placement API reference, "Resource classes"."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import delete, insert, select, update

from pileus.core.context import Context
from pileus.core.errors import Conflict, NotFound
from pileus.resource import types
from pileus.resource.replies import LINKS, TEXT, always, named_list
from pileus.services.compute.nodes.providers import given_read
from pileus.services.compute.placement.api import (
    CUSTOM,
    RouteMaker,
    enforce,
    location,
    matching,
    path_to,
    shown,
    timed,
)
from pileus.services.compute.placement.errors import BadRequest
from pileus.services.compute.placement.policy import PREFIX, rules
from pileus.services.compute.placement.queries import classes_unknown
from pileus.services.compute.rules.standard_resources import CLASSES
from pileus.services.compute.tables.placement import (
    placement_allocations,
    placement_classes,
    placement_inventories,
)
from pileus.store.tx import Tx
from pileus.web.body import declared_body
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY

PATH = "/resource_classes"
_SINCE = ("1.2", "")
_NAMED = types.dict_of({"name": matching(CUSTOM)}, required=("name",))
_SHOWN = always({"name": TEXT, "links": LINKS})
_CUSTOM = re.compile(CUSTOM)


class ClassNotFound(NotFound):
    message = "No such resource class {name}."


class ClassExists(Conflict):
    message = "Conflicting resource class already exists: {name}"


class ClassInUse(Conflict):
    message = (
        "Error in delete resource class: Cannot delete resource class {name}. Class is in use in inventory."
    )


def _must_exist(tx: Tx, name: str) -> None:
    if classes_unknown(tx, [name]):
        raise ClassNotFound(name=name)


def class_create(tx: Tx, context: Context, name: str) -> bool:
    """Make a class of one's own; returns whether it is new."""
    tx.lock(f"placement:class:{name}")
    if not classes_unknown(tx, [name]):
        return False
    tx.insert(placement_classes, [{"name": name, "created_at": context.now}])
    return True


def class_delete(tx: Tx, name: str) -> None:
    """Delete a class of one's own of which no provider has anything."""
    _must_exist(tx, name)
    if name in CLASSES:
        raise BadRequest(f"Error in delete resource class: Cannot delete standard resource class {name}.")
    if _is_used(tx, name):
        raise ClassInUse(name=name)
    tx.execute(delete(placement_classes).where(placement_classes.c.name == name))


def _is_used(tx: Tx, name: str) -> bool:
    c = placement_inventories.c
    if tx.first(select(c.provider_id).where(c.resource_class == name).limit(1)) is not None:
        return True
    return any(name in amounts for one in given_read(tx) for amounts in one.resources.values())


def class_rename(tx: Tx, name: str, new: str) -> None:
    """Give a class of one's own another name, wherever it is."""
    _must_exist(tx, name)
    if name in CLASSES:
        raise BadRequest(f"Cannot update standard resource class {name}")
    if new == name:
        return
    if not classes_unknown(tx, [new]):
        raise Conflict(f"Resource class already exists: {new}")
    if any(name in amounts for one in given_read(tx) for amounts in one.resources.values()):
        raise ClassInUse(f"Servers have been given resources of the class {name}.")
    created = tx.scalar(select(placement_classes.c.created_at).where(placement_classes.c.name == name))
    tx.execute(insert(placement_classes).values(name=new, created_at=created))
    for table in (placement_inventories, placement_allocations):
        tx.execute(update(table).where(table.c.resource_class == name).values(resource_class=new))
    tx.execute(delete(placement_classes).where(placement_classes.c.name == name))


def _all(tx: Tx) -> list[str]:
    rows = tx.rows(select(placement_classes.c.name).order_by(placement_classes.c.name))
    return [*CLASSES, *(row.name for row in rows)]


def _view(request: Request, name: str) -> dict[str, Any]:
    return {"name": name, "links": [{"rel": "self", "href": path_to(request, f"{PATH}/{name}")}]}


async def list_classes(request: Request) -> Reply:
    """List resource classes."""
    enforce(request)
    names = await request.read(_all)
    return shown(request, {"resource_classes": [_view(request, name) for name in names]})


async def show_class(request: Request) -> Reply:
    """Show a resource class."""
    enforce(request)
    await request.read(_must_exist, request.path["name"])
    return shown(request, _view(request, request.path["name"]))


async def create_class(request: Request) -> Reply:
    """Make a resource class."""
    enforce(request)
    name = declared_body(request)["name"]
    if not await request.write(class_create, request.context, name):
        raise ClassExists(name=name)
    return Reply.empty(201).header("location", location(request, f"{PATH}/{name}"))


async def rename_class(request: Request) -> Reply:
    """Rename a resource class."""
    enforce(request)
    new = declared_body(request)["name"]
    await request.write(class_rename, request.path["name"], new)
    return shown(request, _view(request, new))


async def ensure_class(request: Request) -> Reply:
    """Make a resource class, or see that it is there."""
    enforce(request)
    name = request.path["name"]
    if not _CUSTOM.fullmatch(name) or len(name) > 255:
        raise BadRequest(f"JSON does not validate: {name!r} does not match '^{CUSTOM}$'")
    new = await request.write(class_create, request.context, name)
    return Reply.empty(201 if new else 204).header("location", location(request, f"{PATH}/{name}"))


async def delete_class(request: Request) -> Reply:
    """Delete a resource class."""
    enforce(request)
    await request.write(class_delete, request.path["name"])
    return timed(request, Reply.empty())


_route = RouteMaker(f"{PREFIX}resource_classes:", _SINCE)
_ONE = PATH + "/{name}"
_LISTED = named_list("resource_classes", _SHOWN)
_MADE: dict[str, Any] = {"reply": NO_BODY, "status": 201}
_RENAMED: dict[str, Any] = {"body": _NAMED, "reply": _SHOWN, "versions": ("1.2", "1.6")}
_ENSURED: dict[str, Any] = {**_MADE, "body": NO_BODY, "versions": ("1.7", "")}
RESOURCE_CLASSES = Noun(
    name="resource_class",
    rules=rules(*(f"resource_classes:{verb}" for verb in ("list", "create", "show", "update", "delete"))),
    routes=(
        _route("GET", PATH, list_classes, "list", "List resource classes", reply=_LISTED),
        _route("POST", PATH, create_class, "create", "Make a resource class", body=_NAMED, **_MADE),
        _route("GET", _ONE, show_class, "show", "Show a resource class", reply=_SHOWN),
        _route("PUT", _ONE, rename_class, "update", "Rename a resource class", **_RENAMED),
        _route("PUT", _ONE, ensure_class, "update", "Make a resource class", **_ENSURED),
        _route("DELETE", _ONE, delete_class, "delete", "Delete a resource class", status=204),
    ),
)
