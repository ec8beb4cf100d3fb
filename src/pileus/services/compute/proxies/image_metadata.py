"""The metadata of images as the Compute API has it: the properties that people added.

Source: Compute API reference, "Images (DEPRECATED)", "Image metadata".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.services.compute.errors import BadRequest, QuotaError
from pileus.services.compute.proxies.images import PATH, ImageNotFound, image_found, properties_of
from pileus.services.compute.quotas.counting import limits_of
from pileus.services.compute.replies import named
from pileus.services.compute.servers.requests import METADATA
from pileus.web.body import declared_body
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import ANYBODY, NO_BODY, Route

_PATCH = "application/openstack-images-v2.1-json-patch"
_VERSIONS = ("2.1", "2.38")


class KeyNotFound(NotFound):
    message = "Invalid metadata key"


async def _read(request: Request) -> dict[str, Any]:
    return properties_of(await image_found(request, request.path["id"]))


async def _write(request: Request, before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Change the properties of the image from ``before`` to ``after``; how they are then."""
    if after.keys() - before.keys():
        most = (await request.read(limits_of, request.context.project_id or ""))["metadata_items"]
        if 0 <= most < len(after):
            raise QuotaError("Image metadata limit exceeded")
    changes: list[dict[str, Any]] = [
        {"op": "remove", "path": _pointer(name)} for name in before if name not in after
    ]
    changes += [
        {"op": "replace" if name in before else "add", "path": _pointer(name), "value": value}
        for name, value in after.items()
        if name not in before or before[name] != value
    ]
    if not changes:
        return dict(before)
    try:
        made = await request.forward(
            "image", "PATCH", f"{PATH}/{request.path['id']}", changes, media_type=_PATCH
        )
    except NotFound:
        raise ImageNotFound from None
    return properties_of(made)


def _pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")


async def list_items(request: Request) -> Reply:
    """List all items."""
    return Reply.json({"metadata": await _read(request)})


async def add_items(request: Request) -> Reply:
    """Add these items to the others."""
    wanted = declared_body(request)["metadata"]
    now = await _read(request)
    return Reply.json({"metadata": await _write(request, now, {**now, **wanted})})


async def replace_items(request: Request) -> Reply:
    """Replace all items by these."""
    wanted = declared_body(request)["metadata"]
    await _write(request, await _read(request), wanted)
    return Reply.json({"metadata": wanted})


async def show_item(request: Request) -> Reply:
    """Show one item."""
    items, key = await _read(request), request.path["key"]
    if key not in items:
        raise KeyNotFound
    return Reply.json({"meta": {key: items[key]}})


async def set_item(request: Request) -> Reply:
    """Set the item that the path names and the body holds."""
    wanted, key = declared_body(request)["meta"], request.path["key"]
    if key not in wanted:
        raise BadRequest("Request body and URI mismatch")
    if len(wanted) != 1:
        raise BadRequest("Request body contains too many items")
    now = await _read(request)
    await _write(request, now, {**now, **wanted})
    return Reply.json({"meta": wanted})


async def delete_item(request: Request) -> Reply:
    """Remove one item."""
    now, key = await _read(request), request.path["key"]
    if key not in now:
        raise KeyNotFound
    await _write(request, now, {name: value for name, value in now.items() if name != key})
    return Reply.empty(204)


_ITEMS = named("metadata", types.dict_of({}, additional=types.anything))
_ITEM = named("meta", types.dict_of({}, additional=types.anything))
_NEW_ITEMS = types.dict_of({"metadata": METADATA}, required=("metadata",))
_NEW_ITEM = types.dict_of({"meta": METADATA}, required=("meta",))
_ALL, _ONE = "/v2.1/images/{id}/metadata", "/v2.1/images/{id}/metadata/{key}"


def _route(method: str, path: str, handler: Any, summary: str, **more: Any) -> Route:
    return Route(method, path, handler, versions=_VERSIONS, rule=ANYBODY, summary=summary, **more)


IMAGE_METADATA = Noun(
    name="proxied_image_metadata",
    routes=(
        _route("GET", _ALL, list_items, "List an image's metadata", reply=_ITEMS),
        _route("POST", _ALL, add_items, "Add to an image's metadata", body=_NEW_ITEMS, reply=_ITEMS),
        _route("PUT", _ALL, replace_items, "Replace an image's metadata", body=_NEW_ITEMS, reply=_ITEMS),
        _route("GET", _ONE, show_item, "Show an item of an image's metadata", reply=_ITEM),
        _route("PUT", _ONE, set_item, "Set an item of an image's metadata", body=_NEW_ITEM, reply=_ITEM),
        _route(
            "DELETE",
            _ONE,
            delete_item,
            "Remove an item of an image's metadata",
            status=204,
            reply=NO_BODY,
        ),
    ),
)
