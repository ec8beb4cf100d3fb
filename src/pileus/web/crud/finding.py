"""Find one resource as its caller may: hidden where he may not see it, or judged before it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, select

from pileus.core.errors import NotFound
from pileus.resource.declaration import Resource, Values
from pileus.resource.rows import fetch
from pileus.store.column_in import column_in
from pileus.store.kept import kept
from pileus.store.tx import Tx
from pileus.web.crud.declared import Crud
from pileus.web.parse import parent_values
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request
from pileus.web.routes import ANYBODY
from pileus.web.view import Page, show

_DIGITS = 10  # more than any number that is a key


def get_handler(crud: Crud) -> Handler:
    """Make a handler of GET on one."""

    async def handler(request: Request) -> Reply:
        if crud.judge is not None:
            return crud_reply(request, crud, await request.read(find_judged, request, crud, "get"), "get")
        fields = [text for name, text in request.query if name == "fields" and text]
        return one_reply(crud.resource, await request.read(get_one, request, crud, fields))

    return handler


def get_one(tx: Tx, request: Request, crud: Crud, fields: Sequence[str]) -> dict[str, Any]:
    """Return the view of the one that the path names; raises the resource's NotFound."""
    resource, key = crud.resource, key_of(request, crud)
    values = {**parent_values(resource, request), resource.key: key}
    named = {name: value for name, value in values.items() if name in resource.columns}
    statement = partial(_statement_of_one, request, crud, tuple(named))
    views = [] if key is None else Page(tx, request, resource, statement, fields, parameters=named).views()
    if not views:
        find_parents(tx, request, resource, [parent_values(resource, request)])
        raise missing(request, crud)
    return views[0] if crud.view is None else crud.view(request, "get", views[0])


def _statement_of_one(
    request: Request, crud: Crud, named: tuple[str, ...], columns: Sequence[Any]
) -> Select[Any]:
    """The SELECT of one, by parameters that are ``named`` as its columns."""
    resource, visible = crud.resource, request.access.visibility(crud.resource, "get")

    def make(more: Sequence[ColumnElement[bool]] = ()) -> Select[Any]:
        where = [resource.columns[name] == bindparam(name) for name in named]
        where += [*crud.where, *more, *([] if visible is None else [visible])]
        return select(*columns).select_from(resource.source).where(*where)

    if crud.visible is not None:
        return make(crud.visible(request))
    return kept(("one", named), (columns, crud, visible), make)


def find(
    tx: Tx,
    request: Request,
    resource: Resource,
    key: str | None = None,
    *,
    lock: bool = True,
    bare: bool = False,
) -> Values:
    """The one that the path names (or ``key``), if this caller may see it; else the resource's NotFound.
    ``bare``: without what is kept in other tables, for units that have no use for it."""
    return find_seen(tx, request, Crud(resource=resource), key, lock=lock, bare=bare)


def find_seen(
    tx: Tx, request: Request, crud: Crud, key: str | None = None, *, lock: bool = True, bare: bool = False
) -> Values:
    """The same, of a declaration with options."""
    resource = crud.resource
    wanted = key if key is not None else key_of(request, crud)
    where = [*_parents(request, resource), *_among(request, crud)]
    visible = request.access.visibility(resource, "get")
    found = (
        [] if wanted is None else fetch(tx, resource, [wanted], where, lock=lock, bare=bare, visible=visible)
    )
    if not found:
        find_parents(tx, request, resource, [parent_values(resource, request)])
        raise resource.not_found(key) if key is not None else missing(request, crud)
    return found[0]


def find_judged(tx: Tx, request: Request, crud: Crud, action: str, *, lock: bool = False) -> Values:
    """The one that the path names, after the policy was asked about it.

    Raises Forbidden, then NotFound; NotFound first where the declaration says so.
    """
    resource, judge = crud.resource, crud.judge
    assert judge is not None
    key = key_of(request, crud)
    found = [] if key is None else fetch(tx, resource, [key], _among(request, crud), lock=lock)
    # MariaDB compares without the spaces at the end: an id has one spelling all the same
    values = found[0] if found and found[0][resource.key] == key else None
    if values is None and action in crud.found_first:
        raise missing(request, crud)
    judge(request, action, values)
    if values is None:
        raise missing(request, crud)
    return values


def key_of(request: Request, crud: Crud) -> Any:
    """The key that the path names; None where none of this resource can have it."""
    resource = crud.resource
    text = request.path[crud.parameter or resource.key]
    if resource.attributes[resource.key].type.schema.get("type") != "integer":
        return text
    return int(text) if text.isascii() and text.isdigit() and len(text) < _DIGITS else None


def missing(request: Request, crud: Crud) -> NotFound:
    """The error of the one that the path names and that is not there, or not visible."""
    if crud.not_found is not None:
        return crud.not_found(request)
    return crud.resource.not_found(request.path[crud.parameter or crud.resource.key])


def _among(request: Request, crud: Crud) -> Sequence[ColumnElement[bool]]:
    return crud.where if crud.visible is None else [*crud.where, *crud.visible(request)]


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


def target_of(tx: Tx, request: Request, resource: Resource, values: Values) -> Mapping[str, Any]:
    """Return what the policy judges of one that exists."""
    return resource.judged(tx, request.context, [values])[0]


def scope(
    request: Request, resource: Resource, action: str, rule: str | None = None
) -> list[ColumnElement[bool]]:
    """The conditions of what this caller may see below the path; ``rule`` stands for the action's own."""
    where = _parents(request, resource)
    visible = None if rule == ANYBODY else request.access.visibility(resource, action, rule)
    return where if visible is None else [*where, visible]


def _parents(request: Request, resource: Resource) -> list[ColumnElement[bool]]:
    return [
        resource.columns[name] == value
        for name, value in parent_values(resource, request).items()
        if name in resource.columns
    ]


def one_reply(resource: Resource, view: dict[str, Any], status: int = 200) -> Reply:
    """Reply with one view, under its name where the dialect wraps."""
    return Reply.json({resource.name: view} if resource.wording.wrapped else view, status)


def shown_reply(request: Request, resource: Resource, values: Mapping[str, Any], status: int = 200) -> Reply:
    """Reply with the view of one that is in memory."""
    return one_reply(resource, show(request, resource, [values])[0], status)


def crud_reply(
    request: Request, crud: Crud, values: Mapping[str, Any], action: str, status: int = 200
) -> Reply:
    """Reply to an action with the view of one that is in memory."""
    return one_reply(crud.resource, crud_views(request, crud, [values], action)[0], status)


def crud_views(
    request: Request, crud: Crud, several: Sequence[Mapping[str, Any]], action: str
) -> list[dict[str, Any]]:
    """The views of several that are in memory, as the reply to an action has them."""
    views = show(request, crud.resource, several, crud.shown.get(action, ()))
    return views if crud.view is None else [crud.view(request, action, view) for view in views]
