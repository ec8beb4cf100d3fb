"""Images: handlers, routes and rules."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from pileus.services.image.config import IMPORT_METHODS, ImageConfig
from pileus.services.image.errors import ImageNotFound
from pileus.services.image.images import work
from pileus.services.image.images.access import visible
from pileus.services.image.images.body import IMAGE_REPLY, IMAGES_REPLY, NEW_IMAGE
from pileus.services.image.images.listing import read_listing
from pileus.services.image.images.patch import JSON_PATCH, Change, read_patch
from pileus.services.image.images.resource import IMAGE
from pileus.services.image.policy import ADMIN, ADMIN_OR_MEMBER, ADMIN_OR_READER, VISIBLE, rules
from pileus.web.crud import Crud, Patch, crud_routes
from pileus.web.faults import MethodNotAllowed
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import ANYBODY, NO_BODY, Route

IMAGES, ONE = "/v2/images", "/v2/images/{image_id}"

_OWN = "project_id:%(project_id)s"

DeleteData = Callable[[str | None], Awaitable[None]]
"""Delete an object of the store, by its name."""


async def deactivate(request: Request) -> Reply:
    """POST /v2/images/{image_id}/actions/deactivate"""
    await request.write(work.image_set_status, request, "deactivate", "deactivated", "active")
    return Reply.empty()


async def reactivate(request: Request) -> Reply:
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


def _judge_list(request: Request) -> None:
    _refuse_empty_id(request)
    request.authorise("get_images", {"project_id": request.context.project_id})


def _view(request: Request, action: str, view: dict[str, Any]) -> dict[str, Any]:
    """A view with the properties at the top level; an image's own attributes win."""
    added = view.pop("properties", None) or {}
    path = f"{IMAGES}/{view['id']}"
    return {**added, **view, "self": path, "file": f"{path}/file", "schema": "/v2/schemas/image"}


def _headers(request: Request, view: dict[str, Any]) -> dict[str, str]:
    return {
        "Location": f"{request.service_url}{view['self']}",
        "OpenStack-image-import-methods": ",".join(IMPORT_METHODS),
    }


def _read_patch(request: Request) -> list[Change]:
    media_type = (request.header("content-type") or "").split(";")[0].strip().lower()
    return read_patch(media_type, request.json())


def _images(delete_data: DeleteData, config: ImageConfig) -> Crud:
    """``delete_data`` deletes the bytes of an image that is gone."""
    return Crud(
        resource=IMAGE,
        parameter="image_id",
        create=partial(work.image_create, config=config),
        update=partial(work.image_update, config=config),
        delete=work.image_delete,
        judge=work.judge,
        found_first=frozenset({"get", "update", "delete"}),
        list_judge=_judge_list,
        visible=visible,
        listing=read_listing,
        view=_view,
        headers=_headers,
        bodies={"create": NEW_IMAGE, "update": JSON_PATCH},
        replies={"list": IMAGES_REPLY, **dict.fromkeys(("create", "get", "update"), IMAGE_REPLY)},
        patch=Patch(_read_patch, work.image_patched),
        deleted=lambda image: delete_data(image["object"]),
    )


def noun(delete_data: DeleteData, config: ImageConfig) -> Noun:
    """Make the noun."""
    return Noun(
        name="image",
        routes=(
            *crud_routes(_images(delete_data, config), IMAGES, statements={"list": 6, "get": 5}),
            Route(
                "DELETE",
                IMAGES,
                refuse_delete,
                status=204,
                rule=ANYBODY,
                summary="Refused: an image has an id",
            ),
            Route(
                "POST",
                f"{ONE}/actions/deactivate",
                deactivate,
                status=204,
                rule="deactivate",
                body=NO_BODY,
                summary="Deactivate an image",
            ),
            Route(
                "POST",
                f"{ONE}/actions/reactivate",
                reactivate,
                status=204,
                rule="reactivate",
                body=NO_BODY,
                summary="Reactivate an image",
            ),
        ),
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
