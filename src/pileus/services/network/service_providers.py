"""Providers of services that networks can be given by others: there are none (extension ``service-type``)."""

from __future__ import annotations

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


async def list_service_providers(request: Request) -> Reply:
    """List none."""
    request.authorise(RULE)
    return views_reply(request, "service_providers", [], "name")


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
