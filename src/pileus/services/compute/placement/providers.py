"""Providers of resources. Source: Placement API reference, "Resource providers"."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID as UUID_VALUE

from pileus.core.ids import new_id
from pileus.resource import types
from pileus.resource.replies import COUNT, LINKS, TEXT, UUID, UUID_OR_NULL, always, named_list
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.compute.config import ComputeConfig
from pileus.services.compute.placement.api import (
    RouteMaker,
    check_query,
    enforce,
    is_uuid,
    landscape_now,
    location,
    path_to,
    provider_of,
    refuse_query,
    shown,
    since,
)
from pileus.services.compute.placement.policy import PREFIX, rules
from pileus.services.compute.placement.queries import (
    known_classes,
    known_traits,
    members_of,
    resources_of,
    traits_of,
)
from pileus.services.compute.placement.work import provider_create, provider_delete, provider_update
from pileus.services.compute.rules.candidates import Group
from pileus.services.compute.rules.providers import Landscape, Provider
from pileus.store.tx import Tx
from pileus.web.body import declared_body
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, ByVersion

PATH = "/resource_providers"
_NAME = types.string(200)
_PARENT = types.nullable(types.uuid)
_IN_TREES = Version(1, 14)


def _fields(version: Version, *, update: bool = False) -> Type:
    fields = {"name": _NAME}
    if not update:
        fields["uuid"] = types.uuid
    if version >= _IN_TREES:
        fields["parent_provider_uuid"] = _PARENT
    return types.dict_of(fields, required=("name",))


def _shown(version: Version) -> Type:
    fields = {"uuid": UUID, "name": TEXT, "generation": COUNT, "links": LINKS}
    if version >= _IN_TREES:
        fields |= {"parent_provider_uuid": UUID_OR_NULL, "root_provider_uuid": UUID}
    return always(fields)


def view(request: Request, one: Provider) -> dict[str, Any]:
    """A provider as its version shows it."""
    base = path_to(request, f"{PATH}/{one.id}")
    links = [{"rel": "self", "href": base}]
    for rel, first in (
        ("aggregates", "1.1"),
        ("inventories", "1.0"),
        ("allocations", "1.11"),
        ("traits", "1.6"),
        ("usages", "1.0"),
    ):
        if since(request, first):
            links.append({"rel": rel, "href": f"{base}/{rel}"})
    told: dict[str, Any] = {
        "uuid": one.id,
        "name": one.name,
        "generation": one.generation,
        "links": links,
    }
    if since(request, "1.14"):
        told |= {"parent_provider_uuid": one.parent_id, "root_provider_uuid": one.root_id}
    return told


def _filtered(landscape: Landscape, request: Request, wanted: Group) -> Iterable[Provider]:
    tree = landscape.providers.get(wanted.in_tree) if wanted.in_tree is not None else None
    for one in landscape.providers.values():
        if (
            request.parameter("uuid") in (None, one.id)
            and request.parameter("name") in (None, one.name)
            and (wanted.in_tree is None or (tree is not None and one.root_id == tree.root_id))
            and all(one.aggregates & any_of for any_of in wanted.member_of)
            and not one.aggregates & wanted.not_member_of
            and all(any_of & one.traits for any_of in wanted.required)
            and not wanted.forbidden & one.traits
            and all(one.gives(name, amount) for name, amount in wanted.resources.items())
        ):
            yield one


class ProviderHandlers:
    """Handlers that know the settings by which hosts count."""

    def __init__(self, config: ComputeConfig) -> None:
        self._config = config

    async def create(self, request: Request) -> Reply:
        """Make a provider."""
        enforce(request)
        body = declared_body(request)
        given = str(UUID_VALUE(body["uuid"])) if "uuid" in body else new_id()
        one = await request.write(
            provider_create,
            request.context,
            self._config,
            given,
            body["name"],
            body.get("parent_provider_uuid"),
        )
        if since(request, "1.20"):
            reply = shown(request, view(request, one), 200, one.updated_at)
        else:
            reply = Reply.empty(201)
        return reply.header("location", location(request, f"{PATH}/{one.id}"))

    async def list(self, request: Request) -> Reply:
        """List providers."""
        enforce(request)
        known = ["name", "uuid"]
        for name, first in (
            ("member_of", "1.3"),
            ("resources", "1.4"),
            ("in_tree", "1.14"),
            ("required", "1.18"),
        ):
            if since(request, first):
                known.append(name)
        check_query(request, *known)
        for name in ("uuid", "in_tree"):
            text = request.parameter(name)
            if text is not None and not is_uuid(text):
                refuse_query(request, f"{text!r} is not a 'uuid'")
        found = await request.read(self._list, request)
        changed = max((one.updated_at for one in found if one.updated_at), default=None)
        return shown(request, {"resource_providers": [view(request, one) for one in found]}, changed=changed)

    def _list(self, tx: Tx, request: Request) -> Sequence[Provider]:
        wanted = Group(in_tree=request.parameter("in_tree"))
        if request.parameter("member_of") is not None:
            wanted = members_of(request, wanted)
        if request.parameter("required") is not None:
            wanted = traits_of(request, wanted)
            known_traits(tx, wanted, 'Invalid trait(s) in "required" parameter: No such trait(s): {}.')
        asked = request.parameter("resources")
        if asked is not None:
            wanted = resources_of(asked, wanted)
            known_classes(
                tx, wanted, "Invalid resource class in resources parameter: No such resource class {}."
            )
        return list(_filtered(landscape_now(tx, self._config, request.context.now), request, wanted))

    def _one(self, tx: Tx, request: Request) -> Provider:
        return provider_of(landscape_now(tx, self._config, request.context.now), request.path["uuid"])

    async def show(self, request: Request) -> Reply:
        """Show a provider."""
        enforce(request)
        one = await request.read(self._one, request)
        return shown(request, view(request, one), changed=one.updated_at)

    async def update(self, request: Request) -> Reply:
        """Rename a provider, or put it below another."""
        enforce(request)
        await request.read(self._one, request)
        body = declared_body(request)
        one = await request.write(
            provider_update,
            request.context,
            self._config,
            request.path["uuid"],
            body,
            anywhere=since(request, "1.37"),
        )
        return shown(request, view(request, one), changed=one.updated_at)

    async def delete(self, request: Request) -> Reply:
        """Delete a provider of which nothing is taken."""
        enforce(request)
        await request.write(provider_delete, request.context, self._config, request.path["uuid"])
        return Reply.empty()


def providers_noun(config: ComputeConfig) -> Noun:
    """The noun, of a cloud with these settings."""
    name = "resource_providers:"
    handlers, route = ProviderHandlers(config), RouteMaker(PREFIX + name)
    one = PATH + "/{uuid}"
    filters = ("name", "uuid", "member_of", "resources", "in_tree", "required")
    listed = {
        "reply": ByVersion(lambda version: named_list("resource_providers", _shown(version))),
        "query": {key: types.string(None) for key in filters},
        "statements": 24,
    }
    made = {
        "body": ByVersion(_fields),
        "reply": ByVersion(lambda version: _shown(version) if version >= Version(1, 20) else NO_BODY),
    }
    changed = {
        "body": ByVersion(lambda version: _fields(version, update=True)),
        "reply": ByVersion(_shown),
    }
    return Noun(
        name="resource_provider",
        rules=rules(*(name + verb for verb in ("list", "create", "show", "update", "delete"))),
        routes=(
            route("GET", PATH, handlers.list, "list", "List resource providers", **listed),
            route("POST", PATH, handlers.create, "create", "Create a resource provider", **made),
            route("GET", one, handlers.show, "show", "Show a resource provider", reply=ByVersion(_shown)),
            route("PUT", one, handlers.update, "update", "Update a resource provider", **changed),
            route("DELETE", one, handlers.delete, "delete", "Delete a resource provider", status=204),
        ),
    )
