"""Providers of services: who may make routers, and how (extension ``service-type``)."""

from __future__ import annotations

from typing import NamedTuple

from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.services.network.common.policy import rules
from pileus.services.network.common.view_lists import views_reply, views_type
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

RULE = "get_service_provider"
EXTENSIONS = (
    Extension(
        "service-type",
        "Neutron Service Type Management",
        "API for retrieving service providers for Neutron advanced services",
        "2013-01-20T00:00:00-00:00",
    ),
)
_REPLY = views_type(
    "service_providers",
    types.dict_of({"name": types.string(), "service_type": types.string(), "default": types.boolean}),
)


class Provider(NamedTuple):
    """A way of making routers, of one kind. ``driver``: its class in Neutron, by which profiles name it;
    ``gateway_vm``: each is a virtual machine."""

    name: str
    driver: str
    distributed: bool = False
    ha: bool = False
    gateway_vm: bool = False
    service_type: str = "L3_ROUTER_NAT"
    default: bool = False


_DRIVERS = "neutron.services.l3_router.service_providers."
_OWN_DRIVERS = "pileus.services.l3_router.service_providers."
PROVIDERS = (
    Provider("dvr", f"{_DRIVERS}dvr.DvrDriver", distributed=True),
    Provider("dvrha", f"{_DRIVERS}dvrha.DvrHaDriver", distributed=True, ha=True),
    Provider("gateway_vm", f"{_OWN_DRIVERS}gateway_vm.GatewayVmDriver", gateway_vm=True),
    Provider("ha", f"{_DRIVERS}ha.HaDriver", ha=True),
    Provider("single_node", f"{_DRIVERS}single_node.SingleNodeDriver"),
)


def provider_of_driver(driver: str) -> Provider | None:
    """The provider with a driver of this name."""
    return next((one for one in PROVIDERS if one.driver == driver), None)


async def list_service_providers(request: Request) -> Reply:
    """List them."""
    request.authorise(RULE)
    shown = [
        {"service_type": one.service_type, "name": one.name, "default": one.default} for one in PROVIDERS
    ]
    return views_reply(request, "service_providers", shown, "name", ("service_type", "name", "default"))


NOUN = Noun(
    name="service_provider",
    routes=(
        Route(
            "GET",
            "/v2.0/service-providers",
            list_service_providers,
            rule=RULE,
            reply=_REPLY,
            summary="List service providers",
        ),
    ),
    rules=rules({RULE: "role:reader"}),
    extensions=EXTENSIONS,
)
