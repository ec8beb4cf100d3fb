"""Requests about several gateways of a router (``PUT /v2.0/routers/{id}/add_external_gateways``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pileus.resource import types
from pileus.resource.declaration import Extension, Values
from pileus.resource.types import BadValue, Type
from pileus.resource.wordings.neutron import BadRequest
from pileus.services.network.common.bodies import body_of
from pileus.services.network.config import NetworkConfig
from pileus.services.network.routers.handlers import router_of
from pileus.services.network.routers.multihoming import gateways_add, gateways_drop, gateways_update
from pileus.services.network.routers.resource import GATEWAY, ROUTER
from pileus.store.tx import Tx
from pileus.web.crud import one_reply, target_of
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request
from pileus.web.routes import Route
from pileus.web.view import show

Unit = Callable[..., Values]
EXTENSIONS = (
    Extension(
        "external-gateway-multihoming",
        "Neutron L3 External Gateway Multihoming",
        "Allow multiple external gateway ports per router",
        "2023-01-18T00:00:00-00:00",
    ),
    Extension(
        "enable-default-route-ecmp",
        "Enable Default Route ECMP",
        "Enables configurable ECMP behavior for default routes",
        "2023-02-27T00:00:00-00:00",
    ),
    Extension(
        "enable-default-route-bfd",
        "Enable Default Route BFD",
        "Enables configurable BFD behavior for default routes",
        "2023-02-27T00:00:00-00:00",
    ),
)
_NAME = "external_gateways"
_SEVERAL = types.list_of(GATEWAY)


def _parse(body: Any) -> list[dict[str, Any]]:
    router = body.get("router") if isinstance(body, dict) else None
    if not isinstance(router, dict) or _NAME not in router:
        raise BadValue(f"Unable to find '{_NAME}' in request body", value=body)
    try:
        wanted: list[dict[str, Any]] = _SEVERAL.parse(router[_NAME])
    except BadValue as bad:
        raise BadValue(f"Invalid input for {_NAME}. Reason: {bad.text}.", value=body) from None
    return wanted


_BODY = Type(
    "external gateways",
    _parse,
    types.dict_of(
        {"router": types.dict_of({_NAME: _SEVERAL}, required=(_NAME,))}, required=("router",)
    ).schema,
)


def _refusal(text: str) -> BadRequest:
    return BadRequest(resource="router", msg=text)


def _require(request: Request, tx: Tx, rule: str, router: Values, infos: Sequence[dict[str, Any]]) -> None:
    """Ask the rules about what is said of gateways (``…:external_gateways:enable_snat``)."""
    target = target_of(tx, request, ROUTER, router)
    parts = {f"{rule}:{_NAME}:{key}" for info in infos for key in info}
    for one in (f"{rule}:{_NAME}", *sorted(parts)):
        if one in request.access.policy and not request.access.allows(one, target):
            raise request.access.refusal([rule, one], target)


def _handler(config: NetworkConfig, rule: str, unit: Unit) -> Handler:
    def work(tx: Tx, request: Request, infos: list[dict[str, Any]]) -> Values:
        router = router_of(tx, request, rule)
        _require(request, tx, rule, router, infos)
        return unit(tx, request.context, router, infos, config=config)

    async def handler(request: Request) -> Reply:
        changed = await request.write(work, request, body_of(request, _refusal))
        return one_reply(ROUTER, show(request, ROUTER, [changed])[0])

    return handler


def gateway_routes(config: NetworkConfig) -> tuple[Route, ...]:
    """Make the three routes."""

    def route(rule: str, unit: Unit, summary: str) -> Route:
        return Route(
            "PUT",
            f"/v2.0/routers/{{id}}/{rule}",
            _handler(config, rule, unit),
            resource=ROUTER,
            action="update",
            rule=rule,
            body=_BODY,
            summary=summary,
        )

    return (
        route("add_external_gateways", gateways_add, "Give a router further gateways"),
        route("update_external_gateways", gateways_update, "Replace the gateways of a router"),
        route("remove_external_gateways", gateways_drop, "Take gateways from a router"),
    )
