"""Lists of a resource."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Select

from pileus.resource.declaration import Resource
from pileus.resource.listing import Listing, bound, page_statement
from pileus.resource.types import BadValue
from pileus.store.kept import kept
from pileus.store.tx import Tx
from pileus.web.crud.declared import Crud
from pileus.web.crud.finding import find_parents, scope
from pileus.web.parse import parent_values
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request
from pileus.web.routes import ANYBODY
from pileus.web.view import Page


def crud_list_handler(crud: Crud, action: str = "list") -> Handler:
    """Make a handler of GET on the collection; ``action`` is ``detail`` for that of long views."""

    async def handler(request: Request) -> Reply:
        rule = None
        if crud.list_judge is not None:
            crud.list_judge(request)
            rule = ANYBODY
        elif crud.list_rule is not None:
            rule = crud.list_rule(request)
        listing = _listing(request, crud)
        if action in crud.shown:
            listing.fields = list(crud.shown[action])
        return Reply.chunks(await request.read(_page, request, crud, listing, rule))

    return handler


def list_handler(resource: Resource, *where: ColumnElement[bool]) -> Handler:
    """Make a handler of GET on the collection; ``where`` narrows it for good."""
    return crud_list_handler(Crud(resource=resource, where=where))


async def list_reply(request: Request, crud: Crud, visible: Sequence[ColumnElement[bool]]) -> Reply:
    """A list for a caller who was judged already: those that fulfil the conditions ``visible``."""
    listing = _listing(request, crud, usual=False)
    listing.visible = visible
    listing.where.extend(visible)
    return Reply.chunks(await request.read(_encoded, request, crud, listing))


def _listing(request: Request, crud: Crud, *, usual: bool = True) -> Listing:
    """Read what the request asks for; ``usual``: with what the declaration adds for each request."""
    dialect = request.dialect
    listing = crud.listing(request) if crud.listing else dialect.listing(request, crud.resource)
    listing.where.extend(crud.where)
    if crud.visible is not None and not listing.visible:  # a listing of the noun's own may say it otherwise
        seen = crud.visible(request)
        listing.visible = [*listing.visible, *seen]
        listing.where.extend(seen)
    listing.where.extend(_filtered(request, crud))
    if usual and crud.list_where is not None:
        listing.where.extend(crud.list_where(request))
    if usual and crud.list_visible is not None:
        narrowed = crud.list_visible(request)
        listing.visible = [*listing.visible, *narrowed]
        listing.where.extend(narrowed)
    if listing.paged:
        default = dialect.default_limit if crud.page is None else crud.page
        bound(listing, default, request.settings.page_limit or dialect.max_limit)
    return listing


def _filtered(request: Request, crud: Crud) -> Iterator[ColumnElement[bool]]:
    """The conditions of the declaration's own filters in the query. Raises Invalid."""
    if not crud.filters:
        return
    given: dict[str, list[str]] = {}
    for name, text in request.query:
        if name in crud.filters:
            given.setdefault(name, []).append(text)
    for name, texts in given.items():
        try:
            yield crud.filters[name](texts)
        except BadValue as bad:
            raise request.dialect.bad_value(name, texts, bad) from None


def list_page(
    tx: Tx,
    request: Request,
    resource: Resource,
    listing: Listing,
    view: Callable[[Request, str, dict[str, Any]], dict[str, Any]] | None = None,
) -> list[bytes]:
    """The encoded reply of a list request, made wholly in the reader's thread."""
    return _page(tx, request, Crud(resource=resource, view=view), listing, None)


def _page(tx: Tx, request: Request, crud: Crud, listing: Listing, rule: str | None) -> list[bytes]:
    """The same, of a declaration with options; ``rule`` stands for that of the resource's lists."""
    parents = parent_values(crud.resource, request)
    find_parents(tx, request, crud.resource, [parents])
    may_see = scope(request, crud.resource, "list", rule)
    is_whole = not parents and len(listing.where) == len(crud.where) and listing.marker is None
    listing.visible = [*listing.visible, *may_see]
    listing.where.extend(may_see)
    return _encoded(tx, request, crud, listing, is_whole=is_whole and not listing.offset)


def _encoded(
    tx: Tx, request: Request, crud: Crud, listing: Listing, *, is_whole: bool = False
) -> list[bytes]:
    """``is_whole``: no condition was made for this request alone, so that the statement is kept."""
    resource, limit = crud.resource, listing.limit
    ahead = request.dialect.looks_ahead
    read = replace(listing, limit=limit + 1) if ahead and limit is not None else listing

    def statement(columns: Sequence[Any]) -> Select[Any]:
        def make() -> Select[Any]:
            missing = resource.wording.missing_marker(resource, listing.marker or "")
            return page_statement(tx, resource, columns, read, missing)

        if not is_whole:
            return make()
        kind = "page", tuple(read.sort), read.reverse, read.limit
        return kept(kind, (columns, resource, *read.where), make)

    page = Page(tx, request, resource, statement, listing.fields)
    more = limit is not None and (page.cut(limit) if ahead else len(page.keys) >= limit)
    if listing.reverse:
        page.reverse()
    links = request.dialect.list_links(request, resource, listing, page.keys, more) if listing.paged else {}
    view = crud.view
    return page.encode(links, None if view is None else lambda one: view(request, "list", one))
