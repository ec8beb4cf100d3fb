"""Flavors and service profiles as a part of the API."""

from __future__ import annotations

from typing import Any

from pileus.resource import types
from pileus.resource.declaration import Extension, Values
from pileus.resource.types import BadValue, Type
from pileus.services.network.common.bodies import body_of
from pileus.services.network.flavors import work
from pileus.services.network.flavors.resource import FLAVOR, RULES, SERVICE_PROFILE
from pileus.store.tx import Tx
from pileus.web.crud import crud, find
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route
from pileus.web.view import show

PATH, PROFILES = "/v2.0/flavors", "/v2.0/service_profiles"


def _parse_binding(body: Any) -> str:
    profile = body.get("service_profile") if isinstance(body, dict) else None
    if not isinstance(profile, dict) or "id" not in profile:
        raise BadValue("Unable to find 'service_profile' in request body", value=body)
    found: str = types.uuid.parse(profile["id"])
    return found


_BINDING = Type(
    "service profile of a flavor",
    _parse_binding,
    types.dict_of(
        {"service_profile": types.dict_of({"id": types.uuid}, required=("id",))},
        required=("service_profile",),
    ).schema,
)
_PROVIDER = types.dict_of({"provider": types.string(), "driver": types.string()})


async def bind_profile(request: Request) -> Reply:
    """Give a flavor a service profile."""
    request.authorise("create_flavor_service_profile")

    def unit(tx: Tx, profile_id: str) -> Values:
        flavor = find(tx, request, FLAVOR, request.path["flavor_id"])
        profile = find(tx, request, SERVICE_PROFILE, profile_id, lock=False)
        return work.profile_bind(tx, request.context, flavor, profile)

    flavor = await request.write(unit, body_of(request))
    return Reply.json({"service_profile": show(request, FLAVOR, [flavor])[0]}, 201)


async def show_binding(request: Request) -> Reply:
    """Show that a flavor has a service profile."""
    request.authorise("get_flavor_service_profile")
    at = request.path

    def unit(tx: Tx) -> None:
        flavor = find(tx, request, FLAVOR, at["flavor_id"], lock=False)
        if at["id"] not in flavor["service_profiles"]:
            raise work.FlavorServiceProfileBindingNotFound(sp_id=at["id"], fl_id=flavor["id"])

    await request.read(unit)
    return Reply.json({"service_profile": {"id": at["id"]}})


async def unbind_profile(request: Request) -> Reply:
    """Take a service profile from a flavor."""
    request.authorise("delete_flavor_service_profile")

    def unit(tx: Tx) -> None:
        work.profile_unbind(tx, find(tx, request, FLAVOR, request.path["flavor_id"]), request.path["id"])

    await request.write(unit)
    return Reply.empty()


async def next_providers(request: Request) -> Reply:
    """Show which provider the flavor's next instance would have."""
    request.authorise("get_flavor_next_provider")
    flavor_id = request.path["flavor_id"]
    found = await request.read(work.providers_of_flavors, [flavor_id])
    shown = [{"provider": one.name, "driver": one.driver} for one in found.values()]
    return Reply.json({"next_providers": shown})


NOUN = Noun(
    name="flavor",
    routes=(
        *crud(FLAVOR, PATH, create=work.flavor_create, update=work.flavor_update, delete=work.flavor_delete),
        *crud(
            SERVICE_PROFILE,
            PROFILES,
            create=work.profile_create,
            update=work.profile_update,
            delete=work.profile_delete,
        ),
        Route(
            "POST",
            f"{PATH}/{{flavor_id}}/service_profiles",
            bind_profile,
            rule="create_flavor_service_profile",
            body=_BINDING,
            reply=types.dict_of({"service_profile": types.anything}),
            status=201,
            summary="Give a flavor a service profile",
        ),
        Route(
            "GET",
            f"{PATH}/{{flavor_id}}/service_profiles/{{id}}",
            show_binding,
            rule="get_flavor_service_profile",
            reply=types.dict_of({"service_profile": types.dict_of({"id": types.uuid})}),
            summary="Show a service profile of a flavor",
        ),
        Route(
            "DELETE",
            f"{PATH}/{{flavor_id}}/service_profiles/{{id}}",
            unbind_profile,
            rule="delete_flavor_service_profile",
            status=204,
            summary="Take a service profile from a flavor",
        ),
        Route(
            "GET",
            f"{PATH}/{{flavor_id}}/next_providers",
            next_providers,
            rule="get_flavor_next_provider",
            reply=types.dict_of({"next_providers": types.list_of(_PROVIDER)}),
            summary="Show the provider of a flavor",
        ),
    ),
    rules=RULES,
    extensions=(
        Extension(
            "flavors",
            "Neutron Service Flavors",
            "Flavor specification for Neutron advanced services.",
            "2015-09-17T10:00:00-00:00",
        ),
    ),
)
