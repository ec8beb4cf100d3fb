"""Images as the Compute API shows them. Source: Compute API reference, "Images (DEPRECATED)"."""

from __future__ import annotations

import datetime as dt
from typing import Any

from pileus.core.errors import Fault, Forbidden, Kind, NotFound
from pileus.resource import types
from pileus.services.compute.api import bookmark, links, root_url, time_asked
from pileus.services.compute.errors import BadRequest
from pileus.services.compute.paging import page_size
from pileus.services.compute.proxies.common import PROXIED
from pileus.services.compute.replies import (
    COUNT,
    COUNT_OR_NULL,
    LINKS,
    MOMENT,
    TEXT,
    TEXT_OR_NULL,
    UUID,
    always,
    named,
    named_list,
)
from pileus.services.compute.uses.image import IMAGES, OWN_ATTRIBUTES
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request
from pileus.web.routes import ANYBODY, NO_BODY, Route

PATH = "/v2/images"
_STATUSES = {
    "active": "ACTIVE",
    "queued": "SAVING",
    "saving": "SAVING",
    "deleted": "DELETED",
    "pending_delete": "DELETED",
    "killed": "ERROR",
}
_PROGRESS = {"queued": 25, "saving": 50, "active": 100}
_FILTERS = {
    "name": "name",
    "status": "status",
    "type": "image_type",
    "server": "instance_uuid",
    "minRam": "min_ram",
    "minDisk": "min_disk",
}
_PROPERTY = "property-"


class ImageNotFound(NotFound):
    message = "Image not found."


async def image_found(request: Request, image_id: str) -> dict[str, Any]:
    """An image that the caller sees, as the image service shows it. Raises ImageNotFound."""
    try:
        return dict(await request.forward("image", "GET", f"{PATH}/{image_id}"))
    except NotFound:
        raise ImageNotFound from None


def properties_of(image: dict[str, Any]) -> dict[str, Any]:
    """The properties that people added to an image."""
    return {name: value for name, value in image.items() if name not in OWN_ATTRIBUTES}


def _links(request: Request, image_id: str) -> list[dict[str, str]]:
    alternate = f"{request.base_url}{IMAGES}/{image_id}"
    return [
        *links(request, "images", image_id),
        {"rel": "alternate", "type": "application/vnd.openstack.image", "href": alternate},
    ]


def _brief(request: Request, image: dict[str, Any]) -> dict[str, Any]:
    return {"id": image["id"], "name": image["name"], "links": _links(request, image["id"])}


def _whole(request: Request, image: dict[str, Any]) -> dict[str, Any]:
    properties = properties_of(image)
    view = {
        **_brief(request, image),
        "minRam": image["min_ram"],
        "minDisk": image["min_disk"],
        "metadata": properties,
        "created": image["created_at"],
        "updated": image["updated_at"],
        "status": _STATUSES.get(image["status"], "UNKNOWN"),
        "progress": _PROGRESS.get(image["status"], 0),
        "OS-EXT-IMG-SIZE:size": image["size"],
    }
    server_id = properties.get("instance_uuid")
    if server_id is not None:
        self_link = {"rel": "self", "href": f"{root_url(request)}/servers/{server_id}"}
        view["server"] = {"id": server_id, "links": [self_link, bookmark(request, "servers", server_id)]}
    automatic = properties.get("auto_disk_config")
    if automatic is not None:
        truths = ("1", "t", "true", "on", "y", "yes")
        view["OS-DCF:diskConfig"] = "AUTO" if str(automatic).lower() in truths else "MANUAL"
    return view


def _query(request: Request) -> list[tuple[str, str]]:
    """The filters and the page of a list in the words of the image service. Raises BadRequest."""
    given = dict(request.query)
    query = []
    for name, text in given.items():
        if name == "server":
            text = text.rsplit("/", 1)[-1]
        elif name == "status":
            text = text.lower()
        if name in _FILTERS:
            query.append((_FILTERS[name], text))
        elif name.startswith(_PROPERTY):
            query.append((name.removeprefix(_PROPERTY), text))
    if "changes-since" in given:
        moment = time_asked("changes-since", given["changes-since"]).replace(tzinfo=dt.UTC)
        query.append(("updated_at", f"gte:{moment:%Y-%m-%dT%H:%M:%SZ}"))
    if "marker" in given:
        query.append(("marker", given["marker"]))
    return [*query, ("limit", str(page_size(request)))]


def _lister(view: Any, path: str) -> Handler:
    async def list_images(request: Request) -> Reply:
        """List the images that the caller sees."""
        try:
            found = await request.forward("image", "GET", PATH, query=_query(request))
        except Fault as fault:
            if fault.kind in (Kind.INVALID, Kind.NOT_FOUND):
                raise BadRequest(fault.text) from None
            raise
        images = found["images"]
        document: dict[str, Any] = {"images": [view(request, one) for one in images]}
        if "next" in found and images and request.parameter("limit") is not None:
            limit = request.parameter("limit")
            following = f"{root_url(request)}/{path}?limit={limit}&marker={images[-1]['id']}"
            document["images_links"] = [{"rel": "next", "href": following}]
        return Reply.json(document)

    return list_images


async def show_image(request: Request) -> Reply:
    """Show one."""
    return Reply.json({"image": _whole(request, await image_found(request, request.path["id"]))})


async def delete_image(request: Request) -> Reply:
    """Delete one."""
    try:
        await request.forward("image", "DELETE", f"{PATH}/{request.path['id']}")
    except NotFound:
        raise ImageNotFound from None
    except Forbidden:
        raise Forbidden("You are not allowed to delete the image.") from None
    return Reply.empty(204)


_IMAGE_LINKS = types.list_of(always({"rel": TEXT, "href": TEXT}, {"type": TEXT}))
_BRIEF = always({"id": UUID, "name": TEXT_OR_NULL, "links": _IMAGE_LINKS})
_WHOLE = always(
    {
        "id": UUID,
        "name": TEXT_OR_NULL,
        "links": _IMAGE_LINKS,
        "minRam": COUNT,
        "minDisk": COUNT,
        "metadata": types.dict_of({}, additional=types.anything),
        "created": MOMENT,
        "updated": MOMENT,
        "status": types.enum("ACTIVE", "SAVING", "DELETED", "ERROR", "UNKNOWN"),
        "progress": COUNT,
        "OS-EXT-IMG-SIZE:size": COUNT_OR_NULL,
    },
    {"server": always({"id": TEXT, "links": LINKS}), "OS-DCF:diskConfig": types.enum("AUTO", "MANUAL")},
)

IMAGES_PROXY = Noun(
    name="proxied_image",
    routes=(
        Route(
            "GET",
            "/v2.1/images",
            _lister(_brief, "images"),
            versions=PROXIED,
            rule=ANYBODY,
            reply=named_list("images", _BRIEF, links="images_links"),
            summary="List images",
        ),
        Route(
            "GET",
            "/v2.1/images/detail",
            _lister(_whole, "images/detail"),
            versions=PROXIED,
            rule=ANYBODY,
            reply=named_list("images", _WHOLE, links="images_links"),
            summary="List images in full",
        ),
        Route(
            "GET",
            "/v2.1/images/{id}",
            show_image,
            versions=PROXIED,
            rule=ANYBODY,
            reply=named("image", _WHOLE),
            summary="Show an image",
        ),
        Route(
            "DELETE",
            "/v2.1/images/{id}",
            delete_image,
            versions=PROXIED,
            rule=ANYBODY,
            status=204,
            reply=NO_BODY,
            summary="Delete an image",
        ),
    ),
)
