"""Find one resource as its caller may: hidden where he may not see it, or judged before it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, select

from pileus.resource.declaration import Resource, Values
from pileus.resource.listing import Listing, page_statement
from pileus.resource.rows import fetch
from pileus.store.column_in import column_in
from pileus.store.tx import Tx
from pileus.web.crud.declared import Crud
from pileus.web.parse import parent_values
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request
from pileus.web.view import Page, show


def get_handler(crud: Crud) -> Handler:
    """Make a handler of GET on one."""
    resource = crud.resource

    async def handler(request: Request) -> Reply:
        if crud.judge is not None:
            return shown_reply(request, resource, await request.read(find_judged, request, crud, "get"))
        fields = [text for name, text in request.query if name == "fields" and text]
        return one_reply(resource, await request.read(get_one, request, resource, fields))

    return handler


def get_one(tx: Tx, request: Request, resource: Resource, fields: Sequence[str]) -> dict[str, Any]:
    """Return the view of the one that the path names; raises the resource's NotFound."""
    key = request.path[resource.key]

    def statement(columns: Sequence[Any]) -> Select[Any]:
        where = [resource.columns[resource.key] == key, *scope(request, resource, "get")]
        return page_statement(tx, resource, columns, Listing(where=where), resource.not_found(key))

    views = Page(tx, request, resource, statement, fields).views()
    if not views:
        find_parents(tx, request, resource, [parent_values(resource, request)])
        raise resource.not_found(key)
    return views[0]


def find(
    tx: Tx, request: Request, resource: Resource, key: str | None = None, *, lock: bool = True
) -> Values:
    """The one that the path names (or ``key``), if this caller may see it; else the resource's NotFound."""
    key = key if key is not None else request.path[resource.key]
    found = fetch(tx, resource, [key], scope(request, resource, "get"), lock=lock)
    if not found:
        find_parents(tx, request, resource, [parent_values(resource, request)])
        raise resource.not_found(key)
    return found[0]


def find_judged(tx: Tx, request: Request, crud: Crud, action: str, *, lock: bool = False) -> Values:
    """The one that the path names, after the policy was asked about it.

    Raises Forbidden, then NotFound; NotFound first where the declaration says so.
    """
    resource, judge = crud.resource, crud.judge
    assert judge is not None
    key = request.path[resource.key]
    found = fetch(tx, resource, [key], crud.where, lock=lock)
    # MariaDB compares without the spaces at the end: an id has one spelling all the same
    values = found[0] if found and found[0][resource.key] == key else None
    if values is None and action in crud.found_first:
        raise resource.not_found(key)
    judge(request, action, values)
    if values is None:
        raise resource.not_found(key)
    return values


def find_parents(tx: Tx, request: Request, resource: Resource, named: Sequence[Mapping[str, Any]]) -> None:
    """Raise the NotFound of a parent that this caller may not see, or that is not there."""
    for name, parent in resource.parents.items():
        keys = sorted({values[name] for values in named if name in values})
        if not keys:
            continue
        column = parent.columns[parent.key]
        visible = request.access.visibility(parent, "get")
        where = [column_in(tx, column, keys), *([] if visible is None else [visible])]
        rows = tx.rows(select(column).select_from(parent.source).where(*where))
        missing = set(keys) - {row[0] for row in rows}
        if missing:
            raise parent.not_found(min(missing))


def target_of(tx: Tx, resource: Resource, values: Values) -> Mapping[str, Any]:
    """Return what the policy judges of one that exists."""
    return resource.judged(tx, [values])[0]


def scope(
    request: Request, resource: Resource, action: str, rule: str | None = None
) -> list[ColumnElement[bool]]:
    """The conditions of what this caller may see below the path; ``rule`` stands for the action's own."""
    where = [
        resource.columns[name] == value
        for name, value in parent_values(resource, request).items()
        if name in resource.columns
    ]
    visible = request.access.visibility(resource, action, rule)
    return where if visible is None else [*where, visible]


def one_reply(resource: Resource, view: dict[str, Any], status: int = 200) -> Reply:
    """Reply with one view, under its name where the dialect wraps."""
    return Reply.json({resource.name: view} if resource.wording.wrapped else view, status)


def shown_reply(request: Request, resource: Resource, values: Mapping[str, Any], status: int = 200) -> Reply:
    """Reply with the view of one that is in memory."""
    return one_reply(resource, show(request, resource, [values])[0], status)
