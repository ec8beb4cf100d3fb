"""Allocations of consumers, and of providers. Source: Placement API reference, "Allocations", "Reshaper"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from pileus.resource import types
from pileus.resource.replies import COUNT, TEXT, always
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.compute.config import ComputeConfig
from pileus.services.compute.placement.allocating import (
    Wish,
    allocations_delete,
    allocations_replace,
    reshape,
)
from pileus.services.compute.placement.api import (
    GENERATION,
    POSITIVE,
    RESOURCE_CLASS,
    UUID_KEY,
    RouteMaker,
    enforce,
    is_uuid,
    keyed,
    landscape_now,
    matching,
    provider_of,
    shown,
    since,
)
from pileus.services.compute.placement.consumers import UNKNOWN, Consumer, consumers_at, consumers_of
from pileus.services.compute.placement.errors import BadRequest
from pileus.services.compute.placement.inventories import SEVERAL
from pileus.services.compute.placement.policy import PREFIX, rules
from pileus.services.compute.rules.providers import Landscape, Provider
from pileus.store.tx import Tx
from pileus.web.body import declared_body
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, ByVersion

ONE, ALL, RESHAPER = "/allocations/{consumer_uuid}", "/allocations", "/reshaper"
OF_PROVIDER = "/resource_providers/{uuid}/allocations"
_AMOUNTS = keyed(RESOURCE_CLASS, POSITIVE, minimum=1)
_PERSON = types.string(255, minimum=1)
_LISTED = types.list_of(
    types.dict_of(
        {
            "resource_provider": types.dict_of({"uuid": types.uuid}, required=("uuid",)),
            "resources": _AMOUNTS,
        },
        required=("resource_provider", "resources"),
    ),
    minimum=1,
)
_BY_PROVIDER = types.dict_of({"generation": GENERATION, "resources": _AMOUNTS}, required=("resources",))
_MAPPINGS = keyed("[a-zA-Z0-9_-]{0,64}", types.list_of(types.uuid, minimum=1), minimum=1)
_OBJECTS, _GENERATIONS, _MAPPED, _TYPES = Version(1, 12), Version(1, 28), Version(1, 34), Version(1, 38)


def _body(version: Version, *, several: bool = False) -> Type:
    """The body of one consumer; ``several``: as one of many, where it may have nothing at all."""
    if version < _OBJECTS:
        people = {"project_id": _PERSON, "user_id": _PERSON} if version >= Version(1, 8) else {}
        return types.dict_of({"allocations": _LISTED, **people}, required=("allocations", *people))
    least = 0 if several or version >= _GENERATIONS else 1
    fields: dict[str, Type] = {
        "allocations": keyed(UUID_KEY, _BY_PROVIDER, minimum=least),
        "project_id": _PERSON,
        "user_id": _PERSON,
    }
    required = [*fields]
    if version >= _GENERATIONS:
        fields["consumer_generation"] = types.nullable(GENERATION)
        required.append("consumer_generation")
    if version >= _MAPPED:
        fields["mappings"] = _MAPPINGS
    if version >= _TYPES:
        fields["consumer_type"] = matching("[A-Z0-9_]+")
        required.append("consumer_type")
    return types.dict_of(fields, required=required)


def _several(version: Version, minimum: int = 1) -> Type:
    return keyed(UUID_KEY, _body(version, several=True), minimum=minimum)


def _reshaping(version: Version) -> Type:
    inventories = keyed(UUID_KEY, SEVERAL, minimum=1)
    return types.dict_of(
        {"inventories": inventories, "allocations": _several(version, 0)},
        required=("inventories", "allocations"),
    )


def _consumer_reply(version: Version) -> Type:
    one = always({"generation": COUNT, "resources": types.dict_of({}, additional=COUNT)})
    more: dict[str, Type] = {}
    if version >= _OBJECTS:
        more = {"project_id": TEXT, "user_id": TEXT}
    if version >= _GENERATIONS:
        more["consumer_generation"] = COUNT
    if version >= _TYPES:
        more["consumer_type"] = TEXT
    return always({"allocations": types.dict_of({}, additional=one)}, more)


def _provider_reply(version: Version) -> Type:
    fields: dict[str, Type] = {"resources": types.dict_of({}, additional=COUNT)}
    if version >= _GENERATIONS:
        fields["consumer_generation"] = COUNT
    return always(
        {
            "allocations": types.dict_of({}, additional=always(fields)),
            "resource_provider_generation": COUNT,
        }
    )


def _wish(request: Request, body: Mapping[str, Any]) -> Wish:
    given = body["allocations"]
    amounts: dict[str, Mapping[str, int]] = {}
    if isinstance(given, list):
        for one in given:
            provider_id = one["resource_provider"]["uuid"]
            amounts[provider_id] = {**amounts.get(provider_id, {}), **one["resources"]}
    else:
        amounts = {provider_id: one["resources"] for provider_id, one in given.items()}
    if not all(is_uuid(provider_id) for provider_id in amounts):
        raise BadRequest("JSON does not validate: a resource provider is not named by a 'uuid'")
    return Wish(
        amounts=amounts,
        project_id=body.get("project_id"),
        user_id=body.get("user_id"),
        kind=body.get("consumer_type"),
        knows=since(request, "1.28"),
        generation=body.get("consumer_generation"),
    )


def _wishes(request: Request, body: Mapping[str, Any]) -> dict[str, Wish]:
    if not all(is_uuid(consumer_id) for consumer_id in body):
        raise BadRequest("JSON does not validate: a consumer is not named by a 'uuid'")
    wishes = {_plain(consumer_id): _wish(request, one) for consumer_id, one in body.items()}
    if len(wishes) < len(body):
        raise BadRequest("JSON does not validate: a consumer is named twice")
    return wishes


def _plain(consumer_id: str) -> str:
    """A consumer's id as it is kept: other spellings of a server's id are that server's, too."""
    return str(UUID(consumer_id)) if is_uuid(consumer_id) else consumer_id


def _by_provider(request: Request, landscape: Landscape, one: Consumer | None) -> dict[str, Any]:
    if one is None:
        return {"allocations": {}}
    told: dict[str, Any] = {
        "allocations": {
            provider_id: {
                "resources": amounts,
                "generation": landscape.providers[provider_id].generation,
            }
            for provider_id, amounts in one.amounts.items()
            if provider_id in landscape.providers
        }
    }
    if since(request, "1.12"):
        told |= {"project_id": one.project_id, "user_id": one.user_id}
    if since(request, "1.28"):
        told["consumer_generation"] = one.generation
    if since(request, "1.38"):
        told["consumer_type"] = one.kind or UNKNOWN
    return told


class AllocationHandlers:
    """Handlers that know the settings by which hosts count."""

    def __init__(self, config: ComputeConfig) -> None:
        self._config = config

    def _consumer(self, tx: Tx, request: Request) -> tuple[Landscape, Consumer | None]:
        landscape = landscape_now(tx, self._config, request.context.now)
        consumer_id = _plain(request.path["consumer_uuid"])
        return landscape, consumers_of(tx, landscape, [consumer_id]).get(consumer_id)

    def _provider(self, tx: Tx, request: Request) -> tuple[Provider, dict[str, Consumer]]:
        landscape = landscape_now(tx, self._config, request.context.now)
        one = provider_of(landscape, request.path["uuid"])
        return one, consumers_at(tx, landscape, one.id)

    async def show(self, request: Request) -> Reply:
        """Show what a consumer takes."""
        enforce(request)
        landscape, one = await request.read(self._consumer, request)
        return shown(request, _by_provider(request, landscape, one), changed=one.updated_at if one else None)

    async def list_at(self, request: Request) -> Reply:
        """List who takes something of a provider."""
        enforce(request)
        provider, found = await request.read(self._provider, request)
        with_generation = since(request, "1.28")
        told = {
            key: {
                "resources": one.amounts[provider.id],
                **({"consumer_generation": one.generation} if with_generation else {}),
            }
            for key, one in found.items()
        }
        changed = max((one.updated_at for one in found.values() if one.updated_at), default=None)
        document = {"allocations": told, "resource_provider_generation": provider.generation}
        return shown(request, document, changed=changed)

    async def set(self, request: Request) -> Reply:
        """Give a consumer what it is to take."""
        enforce(request)
        consumer_id = request.path["consumer_uuid"]
        if not is_uuid(consumer_id):
            raise BadRequest(f"Malformed consumer_uuid: {consumer_id}")
        consumer_id = _plain(consumer_id)
        wish = _wish(request, declared_body(request))
        await request.write(allocations_replace, request.context, self._config, {consumer_id: wish})
        return Reply.empty()

    async def set_several(self, request: Request) -> Reply:
        """Give several consumers what they are to take, all or none."""
        enforce(request)
        wishes = _wishes(request, declared_body(request))
        await request.write(allocations_replace, request.context, self._config, wishes)
        return Reply.empty()

    async def delete(self, request: Request) -> Reply:
        """A consumer takes nothing any more."""
        enforce(request)
        consumer_id = _plain(request.path["consumer_uuid"])
        await request.write(allocations_delete, request.context, self._config, consumer_id)
        return Reply.empty()

    async def reshape(self, request: Request) -> Reply:
        """Move inventories and what is taken of them."""
        enforce(request)
        body = declared_body(request)
        wishes = _wishes(request, body["allocations"])
        await request.write(reshape, request.context, self._config, body["inventories"], wishes)
        return Reply.empty()


def allocations_noun(config: ComputeConfig) -> Noun:
    """The noun, of a cloud with these settings."""
    handlers, route = AllocationHandlers(config), RouteMaker(PREFIX)
    own = "allocations:"
    replies = {"reply": ByVersion(_consumer_reply)}
    replaced = {"body": ByVersion(_body), "status": 204}
    several = {"body": ByVersion(_several), "status": 204, "versions": ("1.13", "")}
    reshaped = {"body": ByVersion(_reshaping), "reply": NO_BODY, "status": 204, "versions": ("1.30", "")}
    at = {"reply": ByVersion(_provider_reply)}
    of_provider = f"resource_providers:{own}list"
    return Noun(
        name="allocation",
        rules=rules(
            *(own + verb for verb in ("list", "manage", "update", "delete")), of_provider, "reshaper:reshape"
        ),
        routes=(
            route("GET", ONE, handlers.show, own + "list", "Show what a consumer takes", **replies),
            route("PUT", ONE, handlers.set, own + "update", "Set what a consumer takes", **replaced),
            route("DELETE", ONE, handlers.delete, own + "delete", "End what a consumer takes", status=204),
            route("POST", ALL, handlers.set_several, own + "manage", "Set what several take", **several),
            route("GET", OF_PROVIDER, handlers.list_at, of_provider, "List who takes of a provider", **at),
            route("POST", RESHAPER, handlers.reshape, "reshaper:reshape", "Move what is taken", **reshaped),
        ),
    )
