"""The five standard routes of a resource, out of its declaration and three units of work.

The units' form, batch first (one request for one thing is a batch of one)::

    def widget_create(tx: Tx, context: Context, specs: list[Values]) -> list[Values]
    def widget_update(tx: Tx, context: Context, updates: list[Update]) -> list[Values]
    def widget_delete(tx: Tx, context: Context, originals: list[Values]) -> None

``specs`` have every attribute (defaults, id and times are filled in); an
``Update`` is the values before and the changes wanted; both return what the
view is to show. The originals were read FOR UPDATE in the same transaction,
through the caller's visibility, and ``If-Match`` and the policy were asked:
the unit is left with the noun's own rules. What a view shows and no spec holds
(a joined column, a value of the database's) the create unit puts into what it
returns; ``fetch(tx, RESOURCE, ids)`` reads all of it where that is simpler.
``insert_plain``, ``change_plain`` and ``remove_plain`` make such units for a noun
that has no rules of its own.

Policy: creating asks ``create_x`` and ``create_x:attribute`` for each guarded
attribute given; what the caller may not see (``get_x``) is not found, and what
he sees and may not change is forbidden.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, select

from pileus.core.context import Context
from pileus.core.errors import Forbidden
from pileus.resource.access import target_of_update
from pileus.resource.declaration import Resource, Update, Values
from pileus.resource.listing import Listing, bound, page_statement
from pileus.resource.revision import check_revision
from pileus.resource.rows import fetch
from pileus.store.column_in import column_in
from pileus.store.tx import Tx
from pileus.web.parse import parent_values, parse_create, parse_update
from pileus.web.precondition import wanted_revision
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request
from pileus.web.routes import Route
from pileus.web.view import Page, show

Create = Callable[[Tx, Context, list[Values]], list[Values]]
Change = Callable[[Tx, Context, list[Update]], list[Values]]
Delete = Callable[[Tx, Context, list[Values]], None]


def crud(
    resource: Resource,
    path: str,
    *,
    create: Create | None = None,
    update: Change | None = None,
    delete: Delete | None = None,
    list_: bool = True,
    get: bool = True,
    create_status: int | None = None,
    versions: tuple[str, str] = ("", ""),
) -> tuple[Route, ...]:
    """The routes below ``path`` (``/v2.0/ports``) for what is given.

    Parameters in ``path`` that are named as attributes (``/policies/{policy_id}/rules``) filter
    reads and are set on create.
    """
    one = f"{path}/{{{resource.key}}}"
    routes = []

    def add(method: str, at: str, handler: Handler, action: str, status: int, summary: str) -> None:
        routes.append(
            Route(
                method,
                at,
                handler,
                resource=resource,
                action=action,
                status=status,
                versions=versions,
                summary=f"{summary} {resource.name.replace('_', ' ')}",
                rule=resource.rule(action),
            )
        )

    if list_:
        add("GET", path, list_handler(resource), "list", 200, "List")
    if create:
        status = create_status or resource.wording.create_status
        add("POST", path, create_handler(resource, create, status), "create", status, "Create")
    if get:
        add("GET", one, get_handler(resource), "get", 200, "Show")
    if update:
        add(resource.wording.update_method, one, update_handler(resource, update), "update", 200, "Update")
    if delete:
        add("DELETE", one, delete_handler(resource, delete), "delete", 204, "Delete")
    return tuple(routes)


def list_handler(resource: Resource, *where: ColumnElement[bool]) -> Handler:
    """A handler of GET on the collection; ``where`` narrows it for good."""

    async def handler(request: Request) -> Reply:
        listing = request.dialect.listing(request, resource)
        listing.where.extend(where)
        dialect = request.dialect
        bound(listing, dialect.default_limit, request.settings.page_limit or dialect.max_limit)
        return Reply.chunks(await request.read(list_page, request, resource, listing))

    return handler


def list_page(tx: Tx, request: Request, resource: Resource, listing: Listing) -> list[bytes]:
    """The encoded reply of a list request, made wholly in the reader's thread."""
    find_parents(tx, request, resource, [parent_values(resource, request)])
    may_see = _scope(request, resource, "list")
    listing.visible = [*listing.visible, *may_see]
    listing.where.extend(may_see)

    def statement(columns: Sequence[Any]) -> Select[Any]:
        missing = resource.wording.missing_marker(resource, listing.marker or "")
        return page_statement(tx, resource, columns, listing, missing)

    page = Page(tx, request, resource, statement, listing.fields)
    if listing.reverse:
        page.reverse()
    more = listing.limit is not None and len(page.keys) >= listing.limit
    return page.encode(request.dialect.list_links(request, resource, listing, page.keys, more))


def get_handler(resource: Resource) -> Handler:
    """A handler of GET on one."""

    async def handler(request: Request) -> Reply:
        fields = [text for name, text in request.query if name == "fields" and text]
        return one_reply(resource, await request.read(get_one, request, resource, fields))

    return handler


def get_one(tx: Tx, request: Request, resource: Resource, fields: Sequence[str]) -> dict[str, Any]:
    """The view of the one that the path names; raises the resource's NotFound."""
    key = request.path[resource.key]

    def statement(columns: Sequence[Any]) -> Select[Any]:
        where = [resource.columns[resource.key] == key, *_scope(request, resource, "get")]
        return page_statement(tx, resource, columns, Listing(where=where), resource.not_found(key))

    views = Page(tx, request, resource, statement, fields).views()
    if not views:
        find_parents(tx, request, resource, [parent_values(resource, request)])
        raise resource.not_found(key)
    return views[0]


def create_handler(resource: Resource, unit: Create, status: int) -> Handler:
    """A handler of POST on the collection: one or several, in one unit of work."""

    async def handler(request: Request) -> Reply:
        specs = parse_create(resource, request)
        bulk = resource.bulk and resource.name not in request.json()
        if resource.targets is None:
            _may_create(request, resource, specs, resource.judged(None, specs))
        made = await request.write(create_several, request, resource, unit, specs)
        views = show(request, resource, made)
        if bulk:
            return Reply.json({resource.plural: views}, status)
        return one_reply(resource, views[0], status)

    return handler


def create_several(
    tx: Tx, request: Request, resource: Resource, unit: Create, specs: list[Values]
) -> list[Values]:
    """The unit, behind the policy where the policy has to look into the database."""
    if resource.targets is not None:
        try:
            _may_create(request, resource, specs, resource.judged(tx, specs))
        except Forbidden:
            # Whoever may make none in a parent of his own is told so, whichever parent the path names.
            asked = specs if _may_in_own(tx, request, resource, specs) else [_given(spec) for spec in specs]
            find_parents(tx, request, resource, asked)
            raise
    return unit(tx, request.context, specs)


def _may_in_own(tx: Tx, request: Request, resource: Resource, specs: Sequence[Values]) -> bool:
    rule, project_id = resource.rule("create"), request.context.project_id
    for target in resource.judged(tx, specs):
        own = {name: project_id for name in target if name.endswith(":project_id")}
        if not request.access.allows(rule, {**target, **own}):
            return False
    return True


def _given(spec: Values) -> dict[str, Any]:
    return {name: spec[name] for name in spec.given}


def _may_create(
    request: Request, resource: Resource, specs: Sequence[Values], targets: Sequence[Mapping[str, Any]]
) -> None:
    rule = resource.rule("create")
    for spec, target in zip(specs, targets, strict=True):
        request.access.require(rule, target)
        request.access.require_attributes(resource, "create", spec, target)


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


def update_handler(resource: Resource, unit: Change) -> Handler:
    """A handler of PUT or PATCH on one."""

    async def handler(request: Request) -> Reply:
        changes = parse_update(resource, request)
        revision = wanted_revision(request)
        changed = await request.write(update_one, request, resource, unit, changes, revision)
        return one_reply(resource, show(request, resource, [changed])[0])

    return handler


def update_one(
    tx: Tx, request: Request, resource: Resource, unit: Change, changes: Values, revision: int | None
) -> Values:
    """Find, judge, change."""
    original = find(tx, request, resource)
    target = target_of_update(target_of(tx, resource, original), changes)
    request.access.require(resource.rule("update"), target)
    request.access.require_attributes(resource, "update", changes, target)
    check_revision(resource, original, revision)
    return unit(tx, request.context, [Update(original, changes)])[0]


def delete_handler(resource: Resource, unit: Delete) -> Handler:
    """A handler of DELETE on one."""

    async def handler(request: Request) -> Reply:
        await request.write(delete_one, request, resource, unit, wanted_revision(request))
        return Reply.empty()

    return handler


def delete_one(tx: Tx, request: Request, resource: Resource, unit: Delete, revision: int | None) -> None:
    """Find, judge, delete."""
    original = find(tx, request, resource)
    request.access.require(resource.rule("delete"), target_of(tx, resource, original))
    check_revision(resource, original, revision)
    unit(tx, request.context, [original])


def find(
    tx: Tx, request: Request, resource: Resource, key: str | None = None, *, lock: bool = True
) -> Values:
    """The one that the path names (or ``key``), if this caller may see it; else the resource's NotFound."""
    key = key if key is not None else request.path[resource.key]
    found = fetch(tx, resource, [key], _scope(request, resource, "get"), lock=lock)
    if not found:
        find_parents(tx, request, resource, [parent_values(resource, request)])
        raise resource.not_found(key)
    return found[0]


def target_of(tx: Tx, resource: Resource, values: Values) -> Mapping[str, Any]:
    """What the policy judges of one that exists."""
    return resource.judged(tx, [values])[0]


def one_reply(resource: Resource, view: dict[str, Any], status: int = 200) -> Reply:
    """One view, under its name where the dialect wraps."""
    return Reply.json({resource.name: view} if resource.wording.wrapped else view, status)


def _scope(request: Request, resource: Resource, action: str) -> list[ColumnElement[bool]]:
    where = [
        resource.columns[name] == value
        for name, value in parent_values(resource, request).items()
        if name in resource.columns
    ]
    visible = request.access.visibility(resource, action)
    return where if visible is None else [*where, visible]


def insert_plain(resource: Resource) -> Create:
    """A create unit that writes the rows."""

    def unit(tx: Tx, context: Context, specs: list[Values]) -> list[Values]:
        return resource.insert(tx, context, specs)

    return unit


def change_plain(resource: Resource) -> Change:
    """An update unit that writes the changes."""

    def unit(tx: Tx, context: Context, updates: list[Update]) -> list[Values]:
        return resource.change(tx, context, updates)

    return unit


def remove_plain(resource: Resource) -> Delete:
    """A delete unit that deletes the rows."""

    def unit(tx: Tx, context: Context, originals: list[Values]) -> None:
        resource.remove(tx, originals)

    return unit
