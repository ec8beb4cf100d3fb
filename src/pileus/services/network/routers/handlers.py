"""Requests about routers that are not the five standard ones: interfaces and single routes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pileus.resource import types
from pileus.resource.declaration import Update, Values
from pileus.resource.revision import check_revision
from pileus.resource.types import BadValue, Type
from pileus.resource.wordings.neutron import BadRequest
from pileus.services.network.common.addressing import ROUTES
from pileus.services.network.common.bodies import body_of
from pileus.services.network.config import NetworkConfig
from pileus.services.network.ports.resource import PORT
from pileus.services.network.routers import interfaces
from pileus.services.network.routers.resource import ROUTER
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


def _parse_interface(body: Any) -> dict[str, str]:
    """``subnet_id`` and ``port_id``, as far as given; other keys are not looked at."""
    wanted = (
        {name: body[name] for name in ("subnet_id", "port_id") if name in body}
        if isinstance(body, dict)
        else {}
    )
    if not wanted:
        raise BadValue("Either subnet_id or port_id must be specified", value=body)
    return {name: types.uuid.parse(value) for name, value in wanted.items()}


def _parse_extra_routes(body: Any) -> list[routing.Route]:
    router = body.get("router") if isinstance(body, dict) else None
    if not isinstance(router, dict) or "routes" not in router:
        raise BadValue("Unable to find 'routes' in request body", value=body)
    try:
        wanted: list[routing.Route] = ROUTES.parse(router["routes"])
    except BadValue as bad:
        raise BadValue(f"Invalid input for routes. Reason: {bad.text}.", value=body) from None
    return wanted


_INTERFACE = Type(
    "interface",
    _parse_interface,
    {
        "type": "object",
        "properties": {"subnet_id": types.uuid.schema, "port_id": types.uuid.schema},
        "minProperties": 1,
    },
)
_INTERFACE_VIEW = types.dict_of(
    {
        **dict.fromkeys(("id", "port_id", "network_id", "subnet_id"), types.uuid),
        **dict.fromkeys(("project_id", "tenant_id"), types.string(36)),
        "subnet_ids": types.list_of(types.uuid),
    }
)
_EXTRA_ROUTES = Type(
    "extra routes",
    _parse_extra_routes,
    types.dict_of(
        {"router": types.dict_of({"routes": ROUTES}, required=("routes",))}, required=("router",)
    ).schema,
)


def _interface_handler(config: NetworkConfig, rule: str, unit: Callable[..., dict[str, Any]]) -> Handler:
    async def handler(request: Request) -> Reply:
        wanted = body_of(request, _bad_interface)
        return Reply.json(await request.write(unit, request, rule, wanted, config))

    return handler


def _bad_interface(text: str) -> BadRequest:
    return BadRequest(resource="router", msg=text)


def router_of(tx: Tx, request: Request, rule: str, *, bare: bool = False) -> Values:
    """Find the router of the path, for one who may do so."""
    router = find(tx, request, ROUTER, bare=bare)
    request.access.require(rule, target_of(tx, request, ROUTER, router))
    check_revision(ROUTER, router, wanted_revision(request))
    return router


def _add(
    tx: Tx, request: Request, rule: str, wanted: dict[str, str], config: NetworkConfig
) -> dict[str, Any]:
    if len(wanted) > 1:
        raise BadRequest(resource="router", msg="Cannot specify both subnet-id and port-id")
    router = router_of(tx, request, rule, bare=True)
    if "port_id" in wanted:
        port = find(tx, request, PORT, wanted["port_id"])
        return interfaces.interface_add_port(tx, request.context, router, port, config=config)
    subnet = find(tx, request, SUBNET, wanted["subnet_id"], lock=False, bare=True)
    return interfaces.interface_add_subnet(tx, request.context, router, subnet, config=config)


def _remove(
    tx: Tx, request: Request, rule: str, wanted: dict[str, str], config: NetworkConfig
) -> dict[str, Any]:
    router = router_of(tx, request, rule, bare=True)
    subnet = (
        find(tx, request, SUBNET, wanted["subnet_id"], lock=False, bare=True)
        if "subnet_id" in wanted
        else None
    )
    return interfaces.interface_remove(
        tx, request.context, router, port_id=wanted.get("port_id"), subnet=subnet, config=config
    )


def _routes_handler(
    config: NetworkConfig, rule: str, combined: Callable[[Any, Any], list[routing.Route]]
) -> Handler:
    def unit(tx: Tx, request: Request, routes: list[routing.Route]) -> Values:
        router = router_of(tx, request, rule)
        changes = Values({"routes": combined(router["routes"], routes)}, ("routes",))
        return router_update(tx, request.context, [Update(router, changes)], config=config)[0]

    async def handler(request: Request) -> Reply:
        changed = await request.write(unit, request, body_of(request))
        return one_reply(ROUTER, show(request, ROUTER, [changed])[0])

    return handler


def interface_routes(config: NetworkConfig) -> tuple[Route, ...]:
    """Interfaces and single routes."""

    def interface(verb: str, unit: Callable[..., dict[str, Any]], summary: str) -> Route:
        return Route(
            "PUT",
            f"/v2.0/routers/{{id}}/{verb}",
            _interface_handler(config, verb, unit),
            rule=verb,
            body=_INTERFACE,
            reply=_INTERFACE_VIEW,
            summary=summary,
        )

    def extra_routes(verb: str, combined: Callable[[Any, Any], list[routing.Route]], summary: str) -> Route:
        return Route(
            "PUT",
            f"/v2.0/routers/{{id}}/{verb}",
            _routes_handler(config, verb, combined),
            resource=ROUTER,
            action="update",
            rule=verb,
            body=_EXTRA_ROUTES,
            summary=summary,
        )

    return (
        interface("add_router_interface", _add, "Add an interface to a router"),
        interface("remove_router_interface", _remove, "Remove an interface from a router"),
        extra_routes("add_extraroutes", routing.added, "Add routes to a router"),
        extra_routes("remove_extraroutes", routing.removed, "Remove routes from a router"),
    )
