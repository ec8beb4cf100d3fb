"""Updating and deleting one: find, judge, change, in one unit of work."""

from __future__ import annotations

from pileus.resource.access import target_of_update
from pileus.resource.check import merge_additional
from pileus.resource.declaration import Update, Values
from pileus.resource.revision import check_revision
from pileus.store.tx import Tx
from pileus.web.crud.declared import Change, Crud, Delete
from pileus.web.crud.finding import find, find_judged, shown_reply, target_of
from pileus.web.parse import parse_update
from pileus.web.precondition import wanted_revision
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request


def update_handler(crud: Crud) -> Handler:
    """Make a handler of PUT or PATCH on one."""
    unit = crud.update
    assert unit is not None

    async def handler(request: Request) -> Reply:
        changes = parse_update(crud.resource, request, may_be_empty=crud.may_change_nothing)
        revision = _revision(crud, request)
        if crud.prepare is not None:
            # what is dear is not done for a caller whom the policy refuses
            await request.read(find_judged, request, crud, "update")
            await crud.prepare(request, changes)
        changed = await request.write(update_one, request, crud, unit, changes, revision)
        return shown_reply(request, crud.resource, changed)

    return handler


def _revision(crud: Crud, request: Request) -> int | None:
    """The revision that the request insists on; APIs that judge first have no revisions."""
    return wanted_revision(request) if crud.judge is None else None


def update_one(
    tx: Tx, request: Request, crud: Crud, unit: Change, changes: Values, revision: int | None
) -> Values:
    """Find, judge, change."""
    resource = crud.resource
    if crud.judge is not None:
        original = find_judged(tx, request, crud, "update", lock=True)
    else:
        original = find(tx, request, resource)
        target = target_of_update(target_of(tx, resource, original), changes)
        request.access.require(resource.rule("update"), target)
        request.access.require_attributes(resource, "update", changes, target)
        check_revision(resource, original, revision)
    if crud.guard is not None:
        crud.guard(tx, request, "update", [original])
    return unit(tx, request.context, [Update(original, merge_additional(resource, original, changes))])[0]


def delete_handler(crud: Crud) -> Handler:
    """Make a handler of DELETE on one."""
    unit = crud.delete
    assert unit is not None

    async def handler(request: Request) -> Reply:
        await request.write(delete_one, request, crud, unit, _revision(crud, request))
        return Reply.empty()

    return handler


def delete_one(tx: Tx, request: Request, crud: Crud, unit: Delete, revision: int | None) -> None:
    """Find, judge, delete."""
    resource = crud.resource
    if crud.judge is not None:
        original = find_judged(tx, request, crud, "delete", lock=True)
    else:
        original = find(tx, request, resource)
        request.access.require(resource.rule("delete"), target_of(tx, resource, original))
        check_revision(resource, original, revision)
    if crud.guard is not None:
        crud.guard(tx, request, "delete", [original])
    unit(tx, request.context, [original])
