"""Images: handlers, routes and rules."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pileus.resource.check import check_create
from pileus.services.image.config import IMPORT_METHODS, ImageConfig
from pileus.services.image.errors import ImageNotFound
from pileus.services.image.images import work
from pileus.services.image.images.access import find_image
from pileus.services.image.images.body import IMAGE_REPLY, IMAGES_REPLY, NEW_IMAGE
from pileus.services.image.images.listing import list_images, read_listing
from pileus.services.image.images.patch import JSON_PATCH, read_patch
from pileus.services.image.images.resource import IMAGE
from pileus.services.image.images.view import image_views
from pileus.services.image.policy import ADMIN, ADMIN_OR_MEMBER, ADMIN_OR_READER, VISIBLE, rules
from pileus.store.tx import Tx
from pileus.web.body import declared_body
from pileus.web.faults import MethodNotAllowed
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import ANYBODY, NO_BODY, Route

IMAGES, ONE = "/v2/images", "/v2/images/{image_id}"

_OWN = "project_id:%(project_id)s"

DeleteData = Callable[[str | None], Awaitable[None]]
"""Delete an object of the store, by its name."""


class ImageHandlers:
    """The handlers; ``delete_data`` deletes the bytes of an image that is gone."""

    def __init__(self, delete_data: DeleteData, config: ImageConfig) -> None:
        self._delete_data = delete_data
        self._config = config

    async def create(self, request: Request) -> Reply:
        """POST /v2/images"""
        own, properties = declared_body(request)
        spec = check_create(IMAGE, request.context, own)
        spec["properties"] = properties
        work.may_create(request, spec)
        made = await request.write(work.image_create, request.context, [spec], config=self._config)
        view = image_views(request, made)[0]
        reply = Reply.json(view, 201).header("Location", f"{request.service_url}{view['self']}")
        return reply.header("OpenStack-image-import-methods", ",".join(IMPORT_METHODS))

    async def list(self, request: Request) -> Reply:
        """GET /v2/images"""
        _refuse_empty_id(request)
        request.authorise("get_images", {"project_id": request.context.project_id})
        return Reply.chunks([await request.read(list_images, request, read_listing(request))])

    async def show(self, request: Request) -> Reply:
        """GET /v2/images/{image_id}"""
        image = await request.read(_find, request)
        return Reply.json(image_views(request, [image])[0])

    async def update(self, request: Request) -> Reply:
        """PATCH /v2/images/{image_id}"""
        media_type = (request.header("content-type") or "").split(";")[0].strip().lower()
        changes = read_patch(media_type, request.json())
        changed = await request.write(work.image_update, request, changes, self._config)
        return Reply.json(image_views(request, [changed])[0])

    async def delete(self, request: Request) -> Reply:
        """DELETE /v2/images/{image_id}"""
        await self._delete_data(await request.write(work.image_delete, request))
        return Reply.empty()

    async def deactivate(self, request: Request) -> Reply:
        """POST /v2/images/{image_id}/actions/deactivate"""
        await request.write(work.image_set_status, request, "deactivate", "deactivated", "active")
        return Reply.empty()

    async def reactivate(self, request: Request) -> Reply:
        """POST /v2/images/{image_id}/actions/reactivate"""
        await request.write(work.image_set_status, request, "reactivate", "active", "deactivated")
        return Reply.empty()


async def refuse_delete(request: Request) -> Reply:
    """DELETE /v2/images: refused, since an image has an id."""
    _refuse_empty_id(request)
    raise MethodNotAllowed(method="DELETE")


def _refuse_empty_id(request: Request) -> None:
    """``/v2/images/`` names an image whose id is empty, which is not there; it is not the collection."""
    if str(request.scope["path"]).endswith("/"):
        raise ImageNotFound(id="")


def _find(tx: Tx, request: Request) -> Any:
    return find_image(tx, request, lock=False)


def _collection_routes(handlers: ImageHandlers) -> tuple[Route, ...]:
    return (
        Route(
            "GET",
            IMAGES,
            handlers.list,
            resource=IMAGE,
            action="list",
            rule="get_images",
            statements=6,
            reply=IMAGES_REPLY,
            summary="List images",
        ),
        Route(
            "POST",
            IMAGES,
            handlers.create,
            resource=IMAGE,
            action="create",
            status=201,
            rule="add_image",
            body=NEW_IMAGE,
            reply=IMAGE_REPLY,
            summary="Create an image",
        ),
        Route(
            "DELETE",
            IMAGES,
            refuse_delete,
            status=204,
            rule=ANYBODY,
            summary="Refused: an image has an id",
        ),
    )


def _image_routes(handlers: ImageHandlers) -> tuple[Route, ...]:
    return (
        Route(
            "GET",
            ONE,
            handlers.show,
            resource=IMAGE,
            action="get",
            rule="get_image",
            statements=5,
            reply=IMAGE_REPLY,
            summary="Show an image",
        ),
        Route(
            "PATCH",
            ONE,
            handlers.update,
            resource=IMAGE,
            action="update",
            rule="modify_image",
            body=JSON_PATCH,
            reply=IMAGE_REPLY,
            summary="Change an image by a JSON patch",
        ),
        Route("DELETE", ONE, handlers.delete, status=204, rule="delete_image", summary="Delete an image"),
        Route(
            "POST",
            f"{ONE}/actions/deactivate",
            handlers.deactivate,
            status=204,
            rule="deactivate",
            body=NO_BODY,
            summary="Deactivate an image",
        ),
        Route(
            "POST",
            f"{ONE}/actions/reactivate",
            handlers.reactivate,
            status=204,
            rule="reactivate",
            body=NO_BODY,
            summary="Reactivate an image",
        ),
    )


def noun(delete_data: DeleteData, config: ImageConfig) -> Noun:
    """Make the noun."""
    handlers = ImageHandlers(delete_data, config)
    return Noun(
        name="image",
        routes=(*_collection_routes(handlers), *_image_routes(handlers)),
        rules=rules(
            {
                "add_image": f"{ADMIN} or (role:member and {_OWN} and project_id:%(owner)s)",
                "delete_image": ADMIN_OR_MEMBER,
                "get_image": f"{ADMIN} or (role:reader and {VISIBLE})",
                "get_images": ADMIN_OR_READER,
                "modify_image": ADMIN_OR_MEMBER,
                "publicize_image": ADMIN,
                "communitize_image": ADMIN_OR_MEMBER,
                "deactivate": ADMIN_OR_MEMBER,
                "reactivate": ADMIN_OR_MEMBER,
            }
        ),
    )
