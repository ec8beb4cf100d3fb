"""Lists of a project's things: whose they are, and which filters they know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, func, select

from pileus.resource.declaration import Resource
from pileus.resource.replies import INTEGER, LINKS, always
from pileus.resource.types import Type, list_of
from pileus.resource.versions import Version
from pileus.services.volume.api import COUNT, at_least, flag, since
from pileus.services.volume.errors import BadRequest
from pileus.services.volume.policy import is_admin
from pileus.store.tx import Tx
from pileus.web.crud import Crud
from pileus.web.dialects.paged import LANGUAGE
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import ByVersion, Route

_WORDS = LANGUAGE | {"all_tenants", "with_count"}


def of_project(request: Request, project_column: ColumnElement[Any]) -> Sequence[ColumnElement[bool]]:
    """Narrow a list to the caller's own project, unless an administrator asks for all (``all_tenants``)."""
    if is_admin(request.access) and flag(request, "all_tenants"):
        return ()
    return [project_column == request.context.project_id]


def refuse_unknown(request: Request, resource: Resource, also: frozenset[str] = frozenset()) -> None:
    """Raise BadRequest for filters that a list does not know, since 3.31; before they meant nothing."""
    if not since(request, "3.31"):
        return
    unknown = []
    for name, _ in request.query:
        attribute = resource.resolve(name)
        if name not in _WORDS | also and (attribute is None or not attribute.filter):
            unknown.append(name)
    if unknown:
        raise BadRequest(f"Invalid filters {', '.join(unknown)} are found in query options.")


def counted(crud: Crud, routes: Iterable[Route]) -> tuple[Route, ...]:
    """The routes of a declaration, whose lists say since 3.45 how many there are (``with_count``)."""
    return tuple(_counted(route, crud) if route.action == "list" else route for route in routes)


def _counted(route: Route, crud: Crud) -> Route:
    async def handler(request: Request) -> Reply:
        if since(request, "3.45") and flag(request, "with_count"):
            request.scope = {**request.scope, COUNT: await request.read(_count, request, crud)}
        return await route.handler(request)

    return replace(route, handler=handler)


def _count(tx: Tx, request: Request, crud: Crud) -> int:
    resource = crud.resource
    visible = request.access.visibility(resource, "list")
    where = [
        *request.dialect.listing(request, resource).where,
        *crud.where,
        *(crud.list_where(request) if crud.list_where is not None else ()),
        *([] if visible is None else [visible]),
    ]
    return int(tx.scalar(select(func.count()).select_from(resource.source).where(*where)))


def listed_with_count(name: str, one: Callable[[Version], Type]) -> ByVersion:
    """The type of a list with links to pages, and since 3.45 how many there are."""

    def make(version: Version) -> Type:
        sometimes = {f"{name}_links": LINKS, **({"count": INTEGER} if at_least(version, "3.45") else {})}
        return always({name: list_of(one(version))}, sometimes)

    return ByVersion(make)
