"""Inventories of providers. Source: Placement API reference, "Resource provider inventories"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from pileus.core.context import Context
from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.replies import COUNT as COUNTED
from pileus.resource.replies import NUMBER as NUMBERED
from pileus.resource.replies import always
from pileus.services.compute.config import ComputeConfig
from pileus.services.compute.placement.api import (
    COUNT,
    GENERATION,
    NUMBER,
    POSITIVE,
    RESOURCE_CLASS,
    RouteMaker,
    enforce,
    keyed,
    landscape_now,
    location,
    matching,
    provider_of,
    shown,
    since,
)
from pileus.services.compute.placement.errors import BadRequest, ConcurrentUpdate
from pileus.services.compute.placement.policy import PREFIX, rules
from pileus.services.compute.placement.work import begin, inventories_set, must_be
from pileus.services.compute.rules.providers import Inventory, Provider
from pileus.store.tx import Tx
from pileus.web.body import declared_body
from pileus.web.faults import MethodNotAllowed
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request

PATH = "/resource_providers/{uuid}/inventories"
_GENERATION = "resource_provider_generation"
FIELDS = {
    "total": POSITIVE,
    "reserved": COUNT,
    "min_unit": POSITIVE,
    "max_unit": POSITIVE,
    "step_size": POSITIVE,
    "allocation_ratio": NUMBER,
    _GENERATION: GENERATION,
}
ONE = types.dict_of(FIELDS, required=("total",))
SEVERAL = types.dict_of(
    {_GENERATION: GENERATION, "inventories": keyed(RESOURCE_CLASS, ONE)},
    required=(_GENERATION, "inventories"),
)
_NEW = types.dict_of(
    {**FIELDS, "resource_class": matching(RESOURCE_CLASS)}, required=("total", "resource_class")
)
_CHANGED = types.dict_of(FIELDS, required=("total", _GENERATION))
_SHOWN = {
    "total": COUNTED,
    "reserved": COUNTED,
    "min_unit": COUNTED,
    "max_unit": COUNTED,
    "step_size": COUNTED,
    "allocation_ratio": NUMBERED,
}
_ONE_SHOWN = always(_SHOWN, {_GENERATION: COUNTED})
_ALL_SHOWN = always(
    {_GENERATION: COUNTED, "inventories": types.dict_of({}, additional=always(_SHOWN))},
)


def inventory_from(given: Mapping[str, Any]) -> Inventory:
    """An inventory as a body has it."""
    return Inventory(**{name: given[name] for name in given if name not in (_GENERATION, "resource_class")})


def _document(several: Mapping[str, Inventory], generation: int) -> dict[str, Any]:
    return {
        _GENERATION: generation,
        "inventories": {name: msgspec.structs.asdict(one) for name, one in several.items()},
    }


def _one_document(one: Inventory, generation: int) -> dict[str, Any]:
    # the service leaves out a generation of zero here, and clients know that
    return msgspec.structs.asdict(one) | ({_GENERATION: generation} if generation else {})


class InventoryNotFound(NotFound):
    message = "No inventory of class {name} for {provider}"


class InventoryHandlers:
    """Handlers that know the settings by which hosts count."""

    def __init__(self, config: ComputeConfig) -> None:
        self._config = config

    def _read(self, tx: Tx, request: Request) -> Provider:
        return provider_of(landscape_now(tx, self._config, request.context.now), request.path["uuid"])

    async def list(self, request: Request) -> Reply:
        """List the inventories of a provider."""
        enforce(request)
        one = await request.read(self._read, request)
        return shown(request, _document(one.inventories, one.generation), changed=one.updated_at)

    async def show(self, request: Request) -> Reply:
        """Show an inventory."""
        enforce(request)
        one = await request.read(self._read, request)
        name = request.path["resource_class"]
        if name not in one.inventories:
            raise InventoryNotFound(name=name, provider=one.id)
        document = _one_document(one.inventories[name], one.generation)
        return shown(request, document, changed=one.updated_at)

    async def _set(self, request: Request, change: Any, verb: str = "update") -> int:
        whole = since(request, "1.26")
        generation: int = await request.write(
            _change, request.context, self._config, request.path["uuid"], change, whole, verb
        )
        return generation

    async def create(self, request: Request) -> Reply:
        """Add an inventory."""
        enforce(request)
        await request.read(self._read, request)
        body = declared_body(request)
        name, new = body["resource_class"], inventory_from(body)

        def change(one: Provider) -> dict[str, Inventory]:
            if name in one.inventories:
                raise ConcurrentUpdate(f"Update conflict: {one.id} has an inventory of class {name} already.")
            must_be(one, body.get(_GENERATION))
            return {**one.inventories, name: new}

        generation = await self._set(request, change, "create")
        path = f"/resource_providers/{request.path['uuid']}/inventories/{name}"
        return shown(request, _one_document(new, generation), 201).header("location", location(request, path))

    async def replace(self, request: Request) -> Reply:
        """Give a provider other inventories."""
        enforce(request)
        await request.read(self._read, request)
        body = declared_body(request)
        given = {name: inventory_from(one) for name, one in body["inventories"].items()}

        def change(one: Provider) -> dict[str, Inventory]:
            must_be(one, body[_GENERATION])
            return given

        generation = await self._set(request, change)
        return shown(request, _document(given, generation))

    async def update(self, request: Request) -> Reply:
        """Change an inventory."""
        enforce(request)
        await request.read(self._read, request)
        body = declared_body(request)
        name, new = request.path["resource_class"], inventory_from(body)

        def change(one: Provider) -> dict[str, Inventory]:
            must_be(one, body[_GENERATION])
            if name not in one.inventories:
                raise BadRequest(
                    f"Unable to update inventory for resource provider {one.id}: No inventory record with "
                    f"resource class for resource provider {one.id}: {name}"
                )
            return {**one.inventories, name: new}

        generation = await self._set(request, change)
        return shown(request, _one_document(new, generation))

    async def delete(self, request: Request) -> Reply:
        """Delete an inventory of which nothing is taken."""
        enforce(request)
        name = request.path["resource_class"]

        def change(one: Provider) -> dict[str, Inventory]:
            if name not in one.inventories:
                raise NotFound(f"No inventory of class {name} found for delete: {one.id} has none.")
            return {key: kept for key, kept in one.inventories.items() if key != name}

        await self._set(request, change)
        return Reply.empty()

    async def clear(self, request: Request) -> Reply:
        """Delete all inventories of a provider."""
        enforce(request)
        if not since(request, "1.5"):
            raise MethodNotAllowed(method="DELETE")
        await self._set(request, lambda one: {})
        return Reply.empty()


def _change(
    tx: Tx, context: Context, config: ComputeConfig, provider_id: str, change: Any, whole: bool, verb: str
) -> int:
    one = provider_of(begin(tx, context, config), provider_id)
    inventories_set(tx, context, one, change(one), whole=whole, verb=verb)
    return one.generation + 1


def inventories_noun(config: ComputeConfig) -> Noun:
    """The noun, of a cloud with these settings."""
    name = "resource_providers:inventories:"
    handlers, route = InventoryHandlers(config), RouteMaker(PREFIX + name)
    one = PATH + "/{resource_class}"
    new = {"body": _NEW, "reply": _ONE_SHOWN, "status": 201}
    several, changed = {"body": SEVERAL, "reply": _ALL_SHOWN}, {"body": _CHANGED, "reply": _ONE_SHOWN}
    return Noun(
        name="inventory",
        rules=rules(*(name + verb for verb in ("list", "create", "show", "update", "delete"))),
        routes=(
            route("GET", PATH, handlers.list, "list", "List inventories", reply=_ALL_SHOWN),
            route("POST", PATH, handlers.create, "create", "Add an inventory", **new),
            route("PUT", PATH, handlers.replace, "update", "Set all inventories", **several),
            route("DELETE", PATH, handlers.clear, "delete", "Delete all inventories", status=204),
            route("GET", one, handlers.show, "show", "Show an inventory", reply=_ONE_SHOWN),
            route("PUT", one, handlers.update, "update", "Change an inventory", **changed),
            route("DELETE", one, handlers.delete, "delete", "Delete an inventory", status=204),
        ),
    )
