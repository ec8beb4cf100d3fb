"""Every path and verb of the image API."""

from __future__ import annotations

from pileus.services.image import discovery
from pileus.services.image.config import ImageConfig
from pileus.services.image.data.handlers import ImageData
from pileus.services.image.images.handlers import ImageHandlers
from pileus.services.image.images.resource import IMAGE
from pileus.services.image.members.handlers import MemberHandlers
from pileus.services.image.schemas import show_schema
from pileus.web.request import Handler
from pileus.web.routes import Route

IMAGES = "/v2/images"
ONE = f"{IMAGES}/{{image_id}}"
MEMBERS, TAG = f"{ONE}/members", f"{ONE}/tags/{{tag}}"
MEMBER = f"{MEMBERS}/{{member_id}}"


def routes(data: ImageData, config: ImageConfig) -> tuple[Route, ...]:
    """The table."""
    images = ImageHandlers(data, config)
    members = MemberHandlers(config)

    def open_(path: str, handler: Handler, status: int = 200) -> Route:
        return Route("GET", path, handler, authenticated=False, status=status, summary="Show the versions")

    return (
        open_("", discovery.list_choices, 300),
        open_("/versions", discovery.list_versions),
        open_("/v2", discovery.list_choices, 300),
        Route(
            "GET",
            IMAGES,
            images.list,
            resource=IMAGE,
            action="list",
            rule="get_images",
            summary="List images",
        ),
        Route(
            "POST",
            IMAGES,
            images.create,
            resource=IMAGE,
            action="create",
            status=201,
            rule="add_image",
            summary="Create an image",
        ),
        Route("DELETE", IMAGES, images.delete_nameless, summary="Refused: an image has an id"),
        Route(
            "GET", ONE, images.show, resource=IMAGE, action="get", rule="get_image", summary="Show an image"
        ),
        Route("PATCH", ONE, images.update, rule="modify_image", summary="Change an image by a JSON patch"),
        Route("DELETE", ONE, images.delete, status=204, rule="delete_image", summary="Delete an image"),
        Route(
            "PUT",
            f"{ONE}/file",
            data.upload,
            authenticated=False,
            stream=True,
            status=204,
            rule="upload_image",
            summary="Upload data",
        ),
        Route(
            "GET",
            f"{ONE}/file",
            data.download,
            authenticated=False,
            rule="download_image",
            summary="Download data",
        ),
        Route(
            "PUT",
            f"{ONE}/stage",
            data.stage,
            stream=True,
            status=204,
            rule="modify_image",
            summary="Stage data",
        ),
        Route(
            "POST",
            f"{ONE}/import",
            data.import_,
            status=202,
            rule="modify_image",
            summary="Import staged data",
        ),
        Route(
            "POST",
            f"{ONE}/actions/deactivate",
            images.deactivate,
            status=204,
            rule="deactivate",
            summary="Deactivate an image",
        ),
        Route(
            "POST",
            f"{ONE}/actions/reactivate",
            images.reactivate,
            status=204,
            rule="reactivate",
            summary="Reactivate an image",
        ),
        Route("PUT", TAG, images.add_tag, status=204, rule="modify_image", summary="Add a tag"),
        Route("DELETE", TAG, images.remove_tag, status=204, rule="modify_image", summary="Remove a tag"),
        Route("GET", MEMBERS, members.list, rule="get_members", summary="List members"),
        Route("POST", MEMBERS, members.create, rule="add_member", summary="Share with a project"),
        Route("GET", MEMBER, members.show, rule="get_member", summary="Show a member"),
        Route("PUT", MEMBER, members.update, rule="modify_member", summary="Accept or reject"),
        Route("DELETE", MEMBER, members.delete, status=204, rule="delete_member", summary="Share no longer"),
        Route("GET", "/v2/schemas/{name}", show_schema, summary="Show a JSON schema"),
        Route("GET", "/v2/info/import", discovery.show_import, summary="How images may come in"),
        Route("GET", "/v2/info/stores", discovery.show_stores, summary="Refused: there is one store"),
        Route("GET", "/v2/info/usage", discovery.usage_handler(config), summary="Limits and usage"),
    )
