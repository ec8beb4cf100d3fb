"""Projects' own endpoints and endpoint groups: routes and rules."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, or_, select

from pileus.core.errors import Conflict, NotFound
from pileus.resource.declaration import Resource
from pileus.services.identity.catalog.endpoints import ENDPOINT, ENDPOINTS
from pileus.services.identity.common.generation import announce_token_change
from pileus.services.identity.common.naming import authorised, named_find, named_one
from pileus.services.identity.common.policy import ADMIN, NOT_DOMAINS, READ, rules
from pileus.services.identity.common.replies import LINKS, TEXT, shape
from pileus.services.identity.endpoint_filter.groups import ENDPOINT_GROUP, ENDPOINT_GROUPS
from pileus.services.identity.projects.declared import PROJECTS
from pileus.services.identity.projects.resource import PROJECT
from pileus.services.identity.tables.catalog import (
    endpoint_groups,
    endpoints,
    project_endpoint_groups,
    project_endpoints,
)
from pileus.services.identity.tables.projects import projects
from pileus.store.errors import Duplicate
from pileus.store.tx import Tx
from pileus.web.crud import Crud, crud_routes, list_reply
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Route

_BASE = "/v3/OS-EP-FILTER"


class EndpointNotInProject(NotFound):
    """The endpoint is not among the project's own (404)."""

    message = "Endpoint {endpoint_id} not found in project {project_id}"


class GroupNotInProject(NotFound):
    """The endpoint group is not among the project's own (404)."""

    message = "Endpoint Group Project Association not found"


class Pairs:
    """Associations of projects with one kind of thing, in a table of two columns."""

    def __init__(self, table: Table, resource: Resource, missing: type[NotFound]) -> None:
        self._table = table
        self._resource = resource
        self._key = f"{resource.name}_id"
        self._missing = missing
        self.named = (
            {self._key: resource, "project_id": PROJECT}
            if resource is ENDPOINT
            else {"project_id": PROJECT, self._key: resource}
        )

    def _where(self, request: Request) -> ColumnElement[bool]:
        c = self._table.c
        return and_(c.project_id == request.path["project_id"], c[self._key] == request.path[self._key])

    def _row(self, request: Request) -> dict[str, str]:
        return {"project_id": request.path["project_id"], self._key: request.path[self._key]}

    def require(self, tx: Tx, request: Request) -> None:
        """Raise NotFound unless the project has it."""
        named_find(tx, request, self.named)
        if tx.first(select(self._table).where(self._where(request))) is None:
            raise self._missing(**self._row(request))

    def add(self, tx: Tx, request: Request) -> None:
        """Give it to the project. Raises NotFound, Conflict."""
        named_find(tx, request, self.named)
        try:
            with tx.savepoint():
                tx.insert(self._table, [self._row(request)])
        except Duplicate:
            raise Conflict(
                f"Conflict occurred attempting to store project_{self._resource.name} - Duplicate entry."
            ) from None
        self._tell(tx, request, "added")

    def remove(self, tx: Tx, request: Request) -> None:
        """Take it away from the project. Raises NotFound."""
        if self._resource is not ENDPOINT:
            named_find(tx, request, self.named)
        if not tx.execute(self._table.delete().where(self._where(request))).rowcount:
            raise self._missing(**self._row(request))
        self._tell(tx, request, "removed")

    def _tell(self, tx: Tx, request: Request, verb: str) -> None:
        kind = f"{self._resource.name}.update"
        payload = {verb: request.path["project_id"]}
        announce_token_change(tx, request.context, kind, request.path[self._key], **payload)


ENDPOINT_PAIRS = Pairs(project_endpoints, ENDPOINT, EndpointNotInProject)
GROUP_PAIRS = Pairs(project_endpoint_groups, ENDPOINT_GROUP, GroupNotInProject)


async def _written(request: Request, unit: Callable[[Tx, Request], None]) -> Reply:
    authorised(request)
    await request.write(unit, request)
    return Reply.empty()


async def add_endpoint(request: Request) -> Reply:
    """PUT …/projects/{project_id}/endpoints/{endpoint_id}"""
    return await _written(request, ENDPOINT_PAIRS.add)


async def check_endpoint(request: Request) -> Reply:
    """GET …/projects/{project_id}/endpoints/{endpoint_id}"""
    authorised(request)
    await request.read(ENDPOINT_PAIRS.require, request)
    return Reply.empty()


async def remove_endpoint(request: Request) -> Reply:
    """DELETE …/projects/{project_id}/endpoints/{endpoint_id}"""
    return await _written(request, ENDPOINT_PAIRS.remove)


async def add_group(request: Request) -> Reply:
    """PUT …/endpoint_groups/{endpoint_group_id}/projects/{project_id}"""
    return await _written(request, GROUP_PAIRS.add)


async def show_group(request: Request) -> Reply:
    """GET …/endpoint_groups/{endpoint_group_id}/projects/{project_id}"""
    authorised(request)
    await request.read(GROUP_PAIRS.require, request)
    pair = {name: request.path[name] for name in ("endpoint_group_id", "project_id")}
    own = f"/OS-EP-FILTER/endpoint_groups/{pair['endpoint_group_id']}/projects/{pair['project_id']}"
    return Reply.json({"project_endpoint_group": {**pair, "links": {"self": own}}})


async def remove_group(request: Request) -> Reply:
    """DELETE …/endpoint_groups/{endpoint_group_id}/projects/{project_id}"""
    return await _written(request, GROUP_PAIRS.remove)


def _listed(
    parameter: str, resource: Resource, crud: Crud, condition: Callable[[Tx, str], ColumnElement[bool]]
) -> Callable[[Request], Awaitable[Reply]]:
    """A list of what goes with the one that the path names."""

    async def handler(request: Request) -> Reply:
        authorised(request)

        def where(tx: Tx) -> ColumnElement[bool]:
            named_one(tx, resource, request.path[parameter])
            return condition(tx, request.path[parameter])

        return await list_reply(request, crud, [await request.read(where)])

    return handler


def endpoints_in_group(filters: dict[str, Any]) -> ColumnElement[bool]:
    """The condition of the endpoints of an endpoint group."""
    return and_(*(endpoints.c[name] == value for name, value in filters.items()))


def _of_group(tx: Tx, key: str) -> ColumnElement[bool]:
    return endpoints_in_group(named_one(tx, ENDPOINT_GROUP, key)["filters"])


def _of_project(tx: Tx, key: str) -> ColumnElement[bool]:
    own = select(project_endpoints.c.endpoint_id).where(project_endpoints.c.project_id == key)
    filters = select(endpoint_groups.c.filters).where(_groups_of(tx, key))
    groups = [endpoints_in_group(row.filters) for row in tx.rows(filters)]
    return or_(endpoints.c.id.in_(own), *groups)


def _groups_of(tx: Tx, key: str) -> ColumnElement[bool]:
    mine = project_endpoint_groups.c.endpoint_group_id
    return endpoint_groups.c.id.in_(select(mine).where(project_endpoint_groups.c.project_id == key))


def _projects_of(table: Table, column: str) -> Callable[[Tx, str], ColumnElement[bool]]:
    def condition(tx: Tx, key: str) -> ColumnElement[bool]:
        return projects.c.id.in_(select(table.c.project_id).where(table.c[column] == key))

    return condition


list_endpoints_of_project = _listed("project_id", PROJECT, ENDPOINTS, _of_project)
list_groups_of_project = _listed("project_id", PROJECT, ENDPOINT_GROUPS, _groups_of)
list_endpoints_of_group = _listed("endpoint_group_id", ENDPOINT_GROUP, ENDPOINTS, _of_group)
list_projects_of_group = _listed(
    "endpoint_group_id", ENDPOINT_GROUP, PROJECTS, _projects_of(project_endpoint_groups, "endpoint_group_id")
)
list_projects_of_endpoint = _listed(
    "endpoint_id", ENDPOINT, PROJECTS, _projects_of(project_endpoints, "endpoint_id")
)

_PAIR = shape(
    {"project_endpoint_group": shape({"endpoint_group_id": TEXT, "project_id": TEXT, "links": LINKS})}
)


def _lists() -> tuple[Route, ...]:
    def route(path: str, handler: Any, resource: Resource, rule: str) -> Route:
        return Route(
            "GET",
            f"{_BASE}/{path}",
            handler,
            resource=resource,
            action="list",
            rule=f"identity:{rule}",
            summary=rule.replace("_", " ").capitalize(),
        )

    group = "endpoint_groups/{endpoint_group_id}"
    return (
        route(
            "projects/{project_id}/endpoints", list_endpoints_of_project, ENDPOINT,
            "list_endpoints_for_project",
        ),
        route(
            "projects/{project_id}/endpoint_groups", list_groups_of_project, ENDPOINT_GROUP,
            "list_endpoint_groups_for_project",
        ),
        route(
            "endpoints/{endpoint_id}/projects", list_projects_of_endpoint, PROJECT,
            "list_projects_for_endpoint",
        ),
        route(
            f"{group}/endpoints", list_endpoints_of_group, ENDPOINT,
            "list_endpoints_associated_with_endpoint_group",
        ),
        route(
            f"{group}/projects", list_projects_of_group, PROJECT,
            "list_projects_associated_with_endpoint_group",
        ),
    )  # fmt: skip


def _pairs() -> tuple[Route, ...]:
    def route(method: str, path: str, handler: Any, rule: str, reply: Any = None) -> Route:
        return Route(
            method,
            f"{_BASE}/{path}",
            handler,
            status=204 if reply is None else 200,
            body=NO_BODY if method == "PUT" else None,
            reply=reply,
            rule=f"identity:{rule}",
            summary=rule.replace("_", " ").capitalize(),
        )

    endpoint = "projects/{project_id}/endpoints/{endpoint_id}"
    group = "endpoint_groups/{endpoint_group_id}/projects/{project_id}"
    return (
        route("PUT", endpoint, add_endpoint, "add_endpoint_to_project"),
        route("GET", endpoint, check_endpoint, "check_endpoint_in_project"),
        route("DELETE", endpoint, remove_endpoint, "remove_endpoint_from_project"),
        route("PUT", group, add_group, "add_endpoint_group_to_project"),
        route("GET", group, show_group, "get_endpoint_group_in_project", _PAIR),
        route("DELETE", group, remove_group, "remove_endpoint_group_from_project"),
    )


NOUN = Noun(
    name="endpoint_group",
    routes=(*crud_routes(ENDPOINT_GROUPS, f"{_BASE}/endpoint_groups"), *_lists(), *_pairs()),
    rules=rules(
        {
            **dict.fromkeys(
                (
                    "list_endpoint_groups",
                    "get_endpoint_group",
                    "list_projects_associated_with_endpoint_group",
                    "list_endpoints_associated_with_endpoint_group",
                    "get_endpoint_group_in_project",
                    "list_endpoint_groups_for_project",
                    "list_projects_for_endpoint",
                    "check_endpoint_in_project",
                    "list_endpoints_for_project",
                ),
                READ,
            ),
            **dict.fromkeys(
                (
                    "create_endpoint_group",
                    "update_endpoint_group",
                    "delete_endpoint_group",
                    "add_endpoint_group_to_project",
                    "remove_endpoint_group_from_project",
                    "add_endpoint_to_project",
                    "remove_endpoint_from_project",
                ),
                ADMIN,
            ),
        },
        NOT_DOMAINS,
    ),
)
