"""The tags sub-resource: ``/v2.0/networks/{id}/tags[/{tag}]`` for any resource with the attribute TAGS.

Source: Networking API reference, "Tag extension". Reading asks the resource's
``get`` rule, changing its ``update`` rule, unless ``rules`` names others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Resource, Update, Values
from pileus.resource.revision import check_revision
from pileus.resource.standard import tags_type
from pileus.resource.types import BadValue
from pileus.store.tx import Tx
from pileus.web.crud import find, target_of
from pileus.web.precondition import wanted_revision
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request
from pileus.web.routes import NO_BODY, Route


class TagNotFound(NotFound):
    """The resource does not carry this tag."""

    message = "Tag {tag} could not be found."


_BODY = types.dict_of({"tags": tags_type}, required=("tags",))


def tag_routes(resource: Resource, path: str, *, rules: Mapping[str, str] | None = None) -> tuple[Route, ...]:
    """The routes; ``path`` is the collection's (``/v2.0/networks``).

    ``rules`` are those of ``get``, ``create``, ``update`` and ``delete``.
    """
    asked = {
        "get": resource.rule("get"),
        "create": resource.rule("update"),
        "update": resource.rule("update"),
        "delete": resource.rule("update"),
        **(rules or {}),
    }
    all_tags = f"{path}/{{{resource.key}}}/tags"
    one_tag = f"{all_tags}/{{tag}}"

    def route(method: str, at: str, handler: Handler, action: str, status: int, summary: str) -> Route:
        whole = _BODY if at == all_tags else NO_BODY
        return Route(
            method,
            at,
            handler,
            rule=asked[action],
            status=status,
            body=whole if method in ("PUT", "POST") else None,
            reply=whole if status != 204 else None,
            summary=f"{summary} {resource.name.replace('_', ' ')}",
        )

    def writer(action: str) -> partial[Values]:
        return partial(_change, resource=resource, rule=asked[action])

    async def list_tags(request: Request) -> Reply:
        values = await request.read(_look, request, resource, asked["get"])
        return Reply.json({"tags": values["tags"]})

    async def check_tag(request: Request) -> Reply:
        values = await request.read(_look, request, resource, asked["get"])
        if request.path["tag"] not in values["tags"]:
            raise TagNotFound(tag=request.path["tag"])
        return Reply.empty()

    async def replace_tags(request: Request) -> Reply:
        wanted = _tags_of(resource, request)
        values = await request.write(writer("update"), request, change=lambda _: wanted)
        return Reply.json({"tags": values["tags"]})

    async def add_tags(request: Request) -> Reply:
        wanted = _tags_of(resource, request)
        await request.write(writer("create"), request, change=lambda now: sorted({*now, *wanted}))
        return Reply.json({"tags": wanted})

    async def add_tag(request: Request) -> Reply:
        wanted = _checked(resource, [request.path["tag"]])
        await request.write(writer("update"), request, change=lambda now: sorted({*now, *wanted}))
        return Reply.empty(201)

    async def remove_tag(request: Request) -> Reply:
        def without(now: Sequence[str]) -> list[str]:
            if request.path["tag"] not in now:
                raise TagNotFound(tag=request.path["tag"])
            return [tag for tag in now if tag != request.path["tag"]]

        await request.write(writer("delete"), request, change=without)
        return Reply.empty()

    async def remove_tags(request: Request) -> Reply:
        await request.write(writer("delete"), request, change=lambda _: [])
        return Reply.empty()

    return (
        route("GET", all_tags, list_tags, "get", 200, "List the tags of a"),
        route("PUT", all_tags, replace_tags, "update", 200, "Replace the tags of a"),
        route("POST", all_tags, add_tags, "create", 200, "Add tags to a"),
        route("DELETE", all_tags, remove_tags, "delete", 204, "Remove the tags of a"),
        route("GET", one_tag, check_tag, "get", 204, "Check a tag of a"),
        route("PUT", one_tag, add_tag, "update", 201, "Add a tag to a"),
        route("DELETE", one_tag, remove_tag, "delete", 204, "Remove a tag of a"),
    )


def _look(tx: Tx, request: Request, resource: Resource, rule: str) -> Values:
    values = find(tx, request, resource, lock=False)
    request.access.require(rule, target_of(tx, request, resource, values))
    return values


def _change(tx: Tx, request: Request, *, resource: Resource, rule: str, change: object) -> Values:
    assert callable(change)
    original = find(tx, request, resource)
    request.access.require(rule, target_of(tx, request, resource, original))
    check_revision(resource, original, wanted_revision(request))
    wanted = change(original["tags"])
    if list(wanted) == list(original["tags"]):
        return original
    return resource.change(tx, request.context, [Update(original, Values({"tags": wanted}))])[0]


def _tags_of(resource: Resource, request: Request) -> list[str]:
    body = request.json()
    if not isinstance(body, dict) or set(body) != {"tags"}:
        raise resource.wording.unreadable("Invalid tags body")
    return sorted(_checked(resource, body["tags"]))


def _checked(resource: Resource, tags: object) -> list[str]:
    try:
        checked: list[str] = tags_type.parse(tags)
    except BadValue as bad:
        raise resource.wording.bad_value("tags", tags, bad) from None
    return checked
