"""Traits, and those of providers. Source: Placement API reference, "Traits"."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import delete, select

from pileus.core.context import Context
from pileus.core.errors import Conflict, NotFound
from pileus.resource import types
from pileus.resource.replies import COUNT, TEXTS, always
from pileus.services.compute.config import ComputeConfig
from pileus.services.compute.placement.api import (
    CUSTOM,
    GENERATION,
    RouteMaker,
    check_query,
    enforce,
    landscape_now,
    location,
    provider_of,
    shown,
    timed,
)
from pileus.services.compute.placement.errors import BadRequest
from pileus.services.compute.placement.policy import PREFIX, rules
from pileus.services.compute.placement.queries import traits_unknown
from pileus.services.compute.placement.work import traits_set
from pileus.services.compute.rules.providers import Landscape, Provider
from pileus.services.compute.rules.standard_resources import TRAITS
from pileus.services.compute.tables.placement import placement_provider_traits, placement_traits
from pileus.store.tx import Tx
from pileus.web.body import declared_body
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Route

PATH = "/traits"
OF_PROVIDER = "/resource_providers/{uuid}/traits"
_GENERATION = "resource_provider_generation"
_SINCE = ("1.6", "")
_SET = types.dict_of(
    {"traits": types.list_of(types.string(255, minimum=1)), _GENERATION: GENERATION},
    required=("traits", _GENERATION),
)
_LISTED = always({"traits": TEXTS})
_OF_PROVIDER_SHOWN = always({"traits": TEXTS, _GENERATION: COUNT})
_CUSTOM = re.compile(CUSTOM)


class TraitNotFound(NotFound):
    message = "No such trait(s): {name}."


class TraitInUse(Conflict):
    message = "The trait {name} is in use by a resource provider."


def _must_exist(tx: Tx, name: str) -> None:
    if traits_unknown(tx, [name]):
        raise TraitNotFound(name=name)


def trait_create(tx: Tx, context: Context, name: str) -> bool:
    """Make a trait of one's own; returns whether it is new."""
    if not traits_unknown(tx, [name]):
        return False
    tx.lock(f"placement:trait:{name}")
    if not traits_unknown(tx, [name]):
        return False
    tx.insert(placement_traits, [{"name": name, "created_at": context.now}])
    return True


def trait_delete(tx: Tx, name: str) -> None:
    """Delete a trait of one's own that no provider has."""
    _must_exist(tx, name)
    if name in TRAITS:
        raise BadRequest(f"Cannot delete standard trait {name}.")
    c = placement_provider_traits.c
    if tx.first(select(c.provider_id).where(c.trait == name).limit(1)) is not None:
        raise TraitInUse(name=name)
    tx.execute(delete(placement_traits).where(placement_traits.c.name == name))


def _all(tx: Tx) -> set[str]:
    return set(TRAITS) | {row.name for row in tx.rows(select(placement_traits.c.name))}


class TraitHandlers:
    """Handlers that know the settings by which hosts count."""

    def __init__(self, config: ComputeConfig) -> None:
        self._config = config

    def _landscape(self, tx: Tx, request: Request) -> Landscape:
        return landscape_now(tx, self._config, request.context.now)

    def _listed(self, tx: Tx, request: Request) -> list[str]:
        names = _all(tx)
        associated = request.parameter("associated")
        if associated is not None:
            found = self._landscape(tx, request).providers.values()
            used = frozenset[str]().union(*(one.traits for one in found))
            names = names & used if associated.lower() == "true" else names - used
        asked = request.parameter("name")
        if asked is not None:
            kind, _, value = asked.partition(":")
            if kind == "in":
                names &= set(value.split(","))
            else:
                names = {one for one in names if one.startswith(value)}
        return sorted(names)

    async def list(self, request: Request) -> Reply:
        """List traits."""
        enforce(request)
        check_query(request, "name", "associated")
        asked, associated = request.parameter("name"), request.parameter("associated")
        if asked is not None and not re.match("(in|startswith):", asked):
            raise BadRequest(
                "Badly formatted name parameter. Expected name query string parameter in form: "
                "?name=[in|startswith]:[name1,name2|prefix]. "
                f'Got: "{asked}"'
            )
        if associated is not None and associated.lower() not in ("true", "false"):
            raise BadRequest('The query parameter "associated" only accepts "true" or "false"')
        return shown(request, {"traits": await request.read(self._listed, request)})

    async def show(self, request: Request) -> Reply:
        """Say whether a trait is there."""
        enforce(request)
        await request.read(_must_exist, request.path["name"])
        return timed(request, Reply.empty())

    async def create(self, request: Request) -> Reply:
        """Make a trait of one's own, or see that it is there."""
        enforce(request)
        name = request.path["name"]
        if not _CUSTOM.fullmatch(name) or len(name) > 255:
            raise BadRequest(
                "The trait is invalid. A valid trait must be no longer than 255 characters, start with the "
                'prefix "CUSTOM_" and use following characters: "A"-"Z", "0"-"9" and "_"'
            )
        new = await request.write(trait_create, request.context, name)
        reply = timed(request, Reply.empty(201 if new else 204))
        return reply.header("location", location(request, f"{PATH}/{name}"))

    async def delete(self, request: Request) -> Reply:
        """Delete a trait of one's own."""
        enforce(request)
        await request.write(trait_delete, request.path["name"])
        return Reply.empty()

    def _view(self, one: Provider) -> dict[str, Any]:
        return {"traits": sorted(one.traits), _GENERATION: one.generation}

    async def list_of_provider(self, request: Request) -> Reply:
        """List the traits of a provider."""
        enforce(request)
        one = provider_of(await request.read(self._landscape, request), request.path["uuid"])
        return shown(request, self._view(one), changed=one.updated_at)

    async def set(self, request: Request) -> Reply:
        """Give a provider other traits."""
        enforce(request)
        body = declared_body(request)
        one = await request.write(
            traits_set,
            request.context,
            self._config,
            request.path["uuid"],
            body["traits"],
            body[_GENERATION],
        )
        return shown(request, self._view(one), changed=one.updated_at)

    async def clear(self, request: Request) -> Reply:
        """Take all traits from a provider that were given to it."""
        enforce(request)
        await request.write(traits_set, request.context, self._config, request.path["uuid"], (), None)
        return Reply.empty()


def traits_noun(config: ComputeConfig) -> Noun:
    """The noun, of a cloud with these settings."""
    return Noun(
        name="trait",
        rules=rules(
            *(f"traits:{verb}" for verb in ("list", "show", "update", "delete")),
            *(f"resource_providers:traits:{verb}" for verb in ("list", "update", "delete")),
        ),
        routes=(*_own_routes(config), *_provider_routes(config)),
    )


def _own_routes(config: ComputeConfig) -> tuple[Route, ...]:
    handlers, route = TraitHandlers(config), RouteMaker(f"{PREFIX}traits:", _SINCE)
    one, text = PATH + "/{name}", types.string(None)
    query = {"name": text, "associated": text}
    made = {"body": NO_BODY, "reply": NO_BODY, "status": 201}
    return (
        route("GET", PATH, handlers.list, "list", "List traits", reply=_LISTED, query=query),
        route("GET", one, handlers.show, "show", "Look for a trait", status=204),
        route("PUT", one, handlers.create, "update", "Make a trait", **made),
        route("DELETE", one, handlers.delete, "delete", "Delete a trait", status=204),
    )


def _provider_routes(config: ComputeConfig) -> tuple[Route, ...]:
    handlers, route = TraitHandlers(config), RouteMaker(f"{PREFIX}resource_providers:traits:", _SINCE)
    path, reply = OF_PROVIDER, _OF_PROVIDER_SHOWN
    return (
        route("GET", path, handlers.list_of_provider, "list", "List a provider's traits", reply=reply),
        route("PUT", path, handlers.set, "update", "Set a provider's traits", body=_SET, reply=reply),
        route("DELETE", path, handlers.clear, "delete", "Take a provider's traits", status=204),
    )
