"""Requests about routers that are not the five standard ones: interfaces, single routes, and the L3 agent
scheduler (seed 003)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import select

from pileus.resource import types
from pileus.resource.declaration import Resource, Update, Values
from pileus.resource.revision import check_revision
from pileus.resource.types import BadValue
from pileus.resource.wordings.neutron import BadRequest, HTTPBadRequest
from pileus.services.network.agents.scheduled import list_where, wanted_id
from pileus.services.network.agents.tables import agents
from pileus.services.network.common.addressing import ROUTES
from pileus.services.network.common.policy import ADMIN, rules
from pileus.services.network.config import NetworkConfig
from pileus.services.network.ports.resource import PORT
from pileus.services.network.routers import interfaces, scheduling
from pileus.services.network.routers.resource import ROUTER
from pileus.services.network.routers.tables import router_bindings, routers
from pileus.services.network.routers.work import router_update
from pileus.services.network.rules import routing
from pileus.services.network.subnets.resource import SUBNET
from pileus.store.tx import Tx
from pileus.web.crud import find, one_reply, target_of
from pileus.web.precondition import wanted_revision
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request
from pileus.web.routes import Route
from pileus.web.view import show

RULES = rules(
    {
        "create_l3-router": ADMIN,
        "get_l3-routers": ADMIN,
        "delete_l3-router": ADMIN,
        "get_l3-agents": ADMIN,
    }
)


def routes(config: NetworkConfig, agent: Resource) -> tuple[Route, ...]:
    """All of them."""
    one = "/v2.0/routers/{id}"

    def route(method: str, path: str, handler: Handler, rule: str, status: int, summary: str) -> Route:
        return Route(method, path, handler, rule=rule, status=status, summary=summary)

    return (
        route(
            "PUT",
            f"{one}/add_router_interface",
            _interface_handler(config, "add_router_interface", _add),
            "add_router_interface",
            200,
            "Add an interface to a router",
        ),
        route(
            "PUT",
            f"{one}/remove_router_interface",
            _interface_handler(config, "remove_router_interface", _remove),
            "remove_router_interface",
            200,
            "Remove an interface from a router",
        ),
        route(
            "PUT",
            f"{one}/add_extraroutes",
            _routes_handler(config, "add_extraroutes", routing.added),
            "add_extraroutes",
            200,
            "Add routes to a router",
        ),
        route(
            "PUT",
            f"{one}/remove_extraroutes",
            _routes_handler(config, "remove_extraroutes", routing.removed),
            "remove_extraroutes",
            200,
            "Remove routes from a router",
        ),
        *_scheduler_routes(config, agent, route),
    )


def _interface_handler(config: NetworkConfig, rule: str, unit: Callable[..., dict[str, Any]]) -> Handler:
    async def handler(request: Request) -> Reply:
        wanted = _wanted(request)
        return Reply.json(await request.write(unit, request, rule, wanted, config))

    return handler


def _wanted(request: Request) -> dict[str, str]:
    """``subnet_id`` and ``port_id`` of the body, as far as given."""
    body = request.json()
    wanted = (
        {name: body[name] for name in ("subnet_id", "port_id") if name in body}
        if isinstance(body, dict)
        else {}
    )
    if not wanted:
        raise BadRequest(resource="router", msg="Either subnet_id or port_id must be specified")
    for value in wanted.values():
        try:
            types.uuid.parse(value)
        except BadValue as bad:
            raise BadRequest(resource="router", msg=bad.text) from None
    return wanted


def _router(tx: Tx, request: Request, rule: str) -> Values:
    router = find(tx, request, ROUTER)
    request.access.require(rule, target_of(tx, ROUTER, router))
    check_revision(ROUTER, router, wanted_revision(request))
    return router


def _add(
    tx: Tx, request: Request, rule: str, wanted: dict[str, str], config: NetworkConfig
) -> dict[str, Any]:
    if len(wanted) > 1:
        raise BadRequest(resource="router", msg="Cannot specify both subnet-id and port-id")
    router = _router(tx, request, rule)
    if "port_id" in wanted:
        port = find(tx, request, PORT, wanted["port_id"])
        return interfaces.interface_add_port(tx, request.context, router, port, config=config)
    subnet = find(tx, request, SUBNET, wanted["subnet_id"], lock=False)
    return interfaces.interface_add_subnet(tx, request.context, router, subnet, config=config)


def _remove(
    tx: Tx, request: Request, rule: str, wanted: dict[str, str], config: NetworkConfig
) -> dict[str, Any]:
    router = _router(tx, request, rule)
    subnet = find(tx, request, SUBNET, wanted["subnet_id"], lock=False) if "subnet_id" in wanted else None
    return interfaces.interface_remove(
        tx, request.context, router, port_id=wanted.get("port_id"), subnet=subnet, config=config
    )


def _routes_handler(
    config: NetworkConfig, rule: str, combined: Callable[[Any, Any], list[routing.Route]]
) -> Handler:
    def unit(tx: Tx, request: Request, routes: list[routing.Route]) -> Values:
        router = _router(tx, request, rule)
        changes = Values({"routes": combined(router["routes"], routes)}, ("routes",))
        return router_update(tx, request.context, [Update(router, changes)], config=config)[0]

    async def handler(request: Request) -> Reply:
        body = request.json()
        router = body.get("router") if isinstance(body, dict) else None
        if not isinstance(router, dict) or "routes" not in router:
            raise HTTPBadRequest("Unable to find 'routes' in request body")
        try:
            wanted = ROUTES.parse(router["routes"])
        except BadValue as bad:
            raise HTTPBadRequest(f"Invalid input for routes. Reason: {bad.text}.") from None
        changed = await request.write(unit, request, wanted)
        return one_reply(ROUTER, show(request, ROUTER, [changed])[0])

    return handler


def _scheduler_routes(
    config: NetworkConfig, agent: Resource, route: Callable[..., Route]
) -> tuple[Route, ...]:
    one_agent = "/v2.0/agents/{agent_id}/l3-routers"

    def bind(tx: Tx, request: Request, agent_id: str, router_id: str) -> None:
        find(tx, request, ROUTER, router_id)
        scheduling.router_bind(tx, request.context, agent_id, router_id, config=config)

    async def add_router(request: Request) -> Reply:
        request.authorise("create_l3-router")
        await request.write(bind, request, request.path["agent_id"], wanted_id(request, "router_id"))
        return Reply.json(None, 201)

    async def remove_router(request: Request) -> Reply:
        request.authorise("delete_l3-router")
        at = request.path
        await request.write(
            scheduling.router_unbind, request.context, at["agent_id"], at["router_id"], config=config
        )
        return Reply.empty()

    async def list_routers(request: Request) -> Reply:
        request.authorise("get_l3-routers")
        agent_id = request.path["agent_id"]
        hosted = select(router_bindings.c.router_id).where(router_bindings.c.agent_id == agent_id)
        return await list_where(request, ROUTER, routers.c.id.in_(hosted), agent_id)

    async def list_agents(request: Request) -> Reply:
        request.authorise("get_l3-agents")
        hosting = select(router_bindings.c.agent_id).where(router_bindings.c.router_id == request.path["id"])
        return await list_where(request, agent, agents.c.id.in_(hosting))

    return (
        route("POST", one_agent, add_router, "create_l3-router", 201, "Add a router to an L3 agent"),
        route("GET", one_agent, list_routers, "get_l3-routers", 200, "List routers of an L3 agent"),
        route(
            "DELETE",
            f"{one_agent}/{{router_id}}",
            remove_router,
            "delete_l3-router",
            204,
            "Remove a router from an L3 agent",
        ),
        route(
            "GET",
            "/v2.0/routers/{id}/l3-agents",
            list_agents,
            "get_l3-agents",
            200,
            "List L3 agents of a router",
        ),
    )
