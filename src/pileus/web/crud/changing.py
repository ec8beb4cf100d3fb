"""Updating and deleting one: find, judge, change, in one unit of work."""

from __future__ import annotations

from typing import Any

from pileus.resource.access import target_of_update
from pileus.resource.check import merge_additional
from pileus.resource.declaration import Update, Values
from pileus.resource.revision import check_revision
from pileus.store.tx import Tx
from pileus.web.crud.declared import Change, Crud, Delete
from pileus.web.crud.finding import crud_reply, find_judged, find_seen, target_of
from pileus.web.parse import parse_update
from pileus.web.precondition import wanted_revision
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request


def update_handler(crud: Crud) -> Handler:
    """Make a handler of PUT or PATCH on one."""
    unit = crud.update
    assert unit is not None
    status = crud.statuses.get("update", 200)

    async def handler(request: Request) -> Reply:
        changes = crud.patch.read(request) if crud.patch is not None else _parse(crud, request)
        revision = _revision(crud, request)
        if crud.prepare is not None:
            # what is dear is not done for a caller whom the policy refuses
            await request.read(find_judged, request, crud, "update")
            await crud.prepare(request, changes)
        changed = await request.write(update_one, request, crud, unit, changes, revision)
        return crud_reply(request, crud, changed, "update", status)

    return handler


def _parse(crud: Crud, request: Request) -> Values:
    return parse_update(
        crud.resource, request, typed="update" in crud.bodies, may_be_empty=crud.may_change_nothing
    )


def _revision(crud: Crud, request: Request) -> int | None:
    """The revision that the request insists on; APIs that judge first have no revisions."""
    return wanted_revision(request) if crud.judge is None else None


def update_one(
    tx: Tx, request: Request, crud: Crud, unit: Change, changes: Any, revision: int | None
) -> Values:
    """Find, judge, change."""
    resource = crud.resource
    if crud.judge is not None:
        original = find_judged(tx, request, crud, "update", lock=True)
    else:
        original = find_seen(tx, request, crud)
        target = target_of_update(target_of(tx, request, resource, original), changes)
        request.access.require(resource.rule("update"), target)
        request.access.require_attributes(resource, "update", changes, target)
        check_revision(resource, original, revision)
    if crud.guard is not None:
        crud.guard(tx, request, "update", [original])
    if crud.patch is not None:
        changes = crud.patch.apply(request, original, changes)
        if changes is None:
            return original
    return unit(tx, request.context, [Update(original, merge_additional(resource, original, changes))])[0]


def delete_handler(crud: Crud) -> Handler:
    """Make a handler of DELETE on one."""
    unit = crud.delete
    assert unit is not None
    status = crud.statuses.get("delete", 204)

    async def handler(request: Request) -> Reply:
        original = await request.write(delete_one, request, crud, unit, _revision(crud, request))
        if crud.deleted is not None:
            await crud.deleted(original)
        return Reply.empty(status)

    return handler


def delete_one(tx: Tx, request: Request, crud: Crud, unit: Delete, revision: int | None) -> Values:
    """Find, judge, delete; returns the one that was there."""
    resource = crud.resource
    if crud.judge is not None:
        original = find_judged(tx, request, crud, "delete", lock=True)
    else:
        original = find_seen(tx, request, crud)
        request.access.require(resource.rule("delete"), target_of(tx, request, resource, original))
        check_revision(resource, original, revision)
    if crud.guard is not None:
        crud.guard(tx, request, "delete", [original])
    unit(tx, request.context, [original])
    return original
