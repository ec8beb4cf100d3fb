"""The nouns of users and groups, where a domain has a directory: lists ask it, and nothing writes to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import Table, select

from pileus.core.errors import Forbidden
from pileus.resource.rows import fetch
from pileus.services.identity.directory.directories import Directories
from pileus.services.identity.groups.noun import GROUPS
from pileus.services.identity.groups.resource import GROUP, group_target
from pileus.services.identity.tables.groups import groups
from pileus.services.identity.tables.users import users
from pileus.services.identity.users.declared import USERS
from pileus.store.column_in import column_in
from pileus.store.tx import Tx
from pileus.web.crud import Crud
from pileus.web.crud.listing import crud_list_handler
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request
from pileus.web.routes import Route

Search = Callable[[Request, str], Awaitable[list[str] | None]]


class ReadOnlyDirectory(Forbidden):
    """Nothing is written to a directory (403)."""

    message = (
        "You are not authorized to perform the requested action: LDAP does not support write operations."
    )


def users_with(noun: Noun, directories: Directories) -> Noun:
    """The noun of users, with those of directories."""
    return _with(noun, directories, "/v3/users", USERS, users, directories.list_people)


def groups_with(noun: Noun, directories: Directories) -> Noun:
    """The noun of groups, with those of directories."""
    made = _with(noun, directories, "/v3/groups", GROUPS, groups, directories.list_teams)
    routes = tuple(
        dataclasses.replace(route, handler=_members(route.handler, directories))
        if (route.method, route.path) == ("GET", "/v3/groups/{id}/users")
        else route
        for route in made.routes
    )
    return dataclasses.replace(made, routes=routes)


def _with(noun: Noun, directories: Directories, base: str, crud: Crud, table: Table, search: Search) -> Noun:
    one = f"{base}/{{id}}"

    def changed(route: Route) -> Route:
        handler = route.handler
        if (route.method, route.path) == ("GET", base):
            handler = _listing(route.handler, directories, crud, table, search)
        elif (route.method, route.path) == ("POST", base):
            handler = _making(route.handler, directories, crud)
        elif route.method in ("PATCH", "DELETE", "PUT") and route.path.startswith(one):
            handler = _changing(route.handler, directories, table)
        return dataclasses.replace(route, handler=handler) if handler is not route.handler else route

    return dataclasses.replace(noun, routes=tuple(map(changed, noun.routes)))


def _listing(handler: Handler, directories: Directories, crud: Crud, table: Table, search: Search) -> Handler:
    async def handle(request: Request) -> Reply:
        domain_id = request.context.domain_id or request.parameter("domain_id")
        rule = crud.resource.rule("list")
        target = {"target.domain_id": domain_id, f"target.{crud.resource.name}.domain_id": domain_id}
        if domain_id is None or not request.access.allows(rule, target):
            return await handler(request)
        found = await search(request, domain_id)
        if found is None:
            return await handler(request)

        def condition(tx: Tx) -> Any:
            return column_in(tx, table.c.id, found)

        there = await request.read(condition)

        def only(_: Request) -> list[Any]:
            return [there]

        return await crud_list_handler(dataclasses.replace(crud, list_where=only))(request)

    return handle


def _members(handler: Handler, directories: Directories) -> Handler:
    """A list of members that asks the directory first, for a caller who may see it."""

    async def handle(request: Request) -> Reply:
        if await directories.any():
            for group in await request.read(fetch, GROUP, [request.path["id"]]):
                if request.access.allows("identity:list_users_in_group", group_target(group)):
                    await directories.read_members(request, group)
        return await handler(request)

    return handle


def _making(handler: Handler, directories: Directories, crud: Crud) -> Handler:
    async def handle(request: Request) -> Reply:
        body = request.json()
        values = body.get(crud.resource.name) if isinstance(body, dict) else None
        named = values.get("domain_id") if isinstance(values, dict) else None
        domain_id = named if isinstance(named, str) else request.context.domain_id
        target = {f"target.{crud.resource.name}.domain_id": domain_id}
        if request.access.allows(crud.resource.rule("create"), target):
            await _refuse(directories, domain_id)
        return await handler(request)

    return handle


def _changing(handler: Handler, directories: Directories, table: Table) -> Handler:
    async def handle(request: Request) -> Reply:
        def domain_of(tx: Tx) -> str | None:
            row = tx.first(select(table.c.domain_id).where(table.c.id == request.path["id"]))
            return row.domain_id if row is not None else None

        if await directories.any():
            await _refuse(directories, await request.read(domain_of))
        return await handler(request)

    return handle


async def _refuse(directories: Directories, domain_id: str | None) -> None:
    if await directories.of_domain(domain_id) is not None:
        raise ReadOnlyDirectory
