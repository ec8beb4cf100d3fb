"""Handlers of images and their tags."""

from __future__ import annotations

from functools import partial
from typing import Any

from pileus.core.errors import Invalid
from pileus.resource.check import check_create
from pileus.resource.declaration import Values
from pileus.resource.tag_table import MAX_TAG
from pileus.services.image.config import ImageConfig
from pileus.services.image.data.handlers import IMPORT_METHODS, ImageData
from pileus.services.image.errors import ImageNotFound
from pileus.services.image.images import work
from pileus.services.image.images.access import find_image
from pileus.services.image.images.listing import list_images, read_listing
from pileus.services.image.images.patch import check_name, check_property, read_patch
from pileus.services.image.images.resource import BASE, IMAGE
from pileus.services.image.images.view import image_views
from pileus.store.tx import Tx
from pileus.web.faults import MethodNotAllowed
from pileus.web.reply import Reply
from pileus.web.request import Request


def parse_image(request: Request) -> Values:
    """The image that a request's body wants, with all defaults. Raises Invalid or Forbidden."""
    body = request.json()
    if not isinstance(body, dict):
        raise IMAGE.wording.no_object(IMAGE, body)
    own = {name: value for name, value in body.items() if name in BASE}
    added: dict[str, str] = {}
    for name, value in body.items():
        if name not in BASE:
            check_name(name)
            added[name] = check_property(name, value)
    spec = check_create(IMAGE, request.context, own)
    spec["properties"] = added
    return spec


class ImageHandlers:
    """The handlers, with what they are told."""

    def __init__(self, data: ImageData, config: ImageConfig) -> None:
        self._data = data
        self._config = config

    async def create(self, request: Request) -> Reply:
        spec = parse_image(request)
        work.may_create(request, spec)
        made = await request.write(work.image_create, request.context, [spec], config=self._config)
        view = image_views(request, made)[0]
        reply = Reply.json(view, 201).header("Location", f"{request.service_url}{view['self']}")
        return reply.header("OpenStack-image-import-methods", ",".join(IMPORT_METHODS))

    async def list(self, request: Request) -> Reply:
        _refuse_empty_id(request)
        request.authorise("get_images", {"project_id": request.context.project_id})
        return Reply.chunks([await request.read(list_images, request, read_listing(request))])

    async def show(self, request: Request) -> Reply:
        image = await request.read(_look, request)
        return Reply.json(image_views(request, [image])[0])

    async def update(self, request: Request) -> Reply:
        media_type = (request.header("content-type") or "").split(";")[0].strip().lower()
        changes = read_patch(media_type, request.json())
        changed = await request.write(work.image_update, request, changes, self._config)
        return Reply.json(image_views(request, [changed])[0])

    async def delete(self, request: Request) -> Reply:
        await self._data.delete(await request.write(work.image_delete, request))
        return Reply.empty()

    async def delete_nameless(self, request: Request) -> Reply:
        _refuse_empty_id(request)
        raise MethodNotAllowed(method="DELETE")

    async def deactivate(self, request: Request) -> Reply:
        await request.write(work.image_switch, request, "deactivate", "deactivated", "active")
        return Reply.empty()

    async def reactivate(self, request: Request) -> Reply:
        await request.write(work.image_switch, request, "reactivate", "active", "deactivated")
        return Reply.empty()

    async def add_tag(self, request: Request) -> Reply:
        tag = request.path["tag"]
        if len(tag) > MAX_TAG:
            raise Invalid(f"Provided object does not match schema 'image': '{tag}' is too long: tags")
        change = partial(_with, tag)
        await request.write(work.image_tag, request, change, self._config)
        return Reply.empty()

    async def remove_tag(self, request: Request) -> Reply:
        await request.write(work.image_tag, request, work.without(request.path["tag"]), self._config)
        return Reply.empty()


def _refuse_empty_id(request: Request) -> None:
    """``/v2/images/`` names an image whose id is empty, which is not there; it is not the collection."""
    if str(request.scope["path"]).endswith("/"):
        raise ImageNotFound(id="")


def _with(tag: str, tags: list[str]) -> list[str]:
    return sorted({*tags, tag})


def _look(tx: Tx, request: Request) -> Any:
    return find_image(tx, request, lock=False)
