"""``/v2/images/{image_id}/tags/{tag}``: tags of images."""

from __future__ import annotations

from pileus.core.errors import Invalid, NotFound
from pileus.resource.tag_table import MAX_TAG
from pileus.services.image.config import ImageConfig
from pileus.services.image.images.work import image_tag
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Route

TAG = "/v2/images/{image_id}/tags/{tag}"


class TagHandlers:
    """The handlers."""

    def __init__(self, config: ImageConfig) -> None:
        self._config = config

    async def add(self, request: Request) -> Reply:
        """PUT /v2/images/{image_id}/tags/{tag}"""
        tag = request.path["tag"]
        if len(tag) > MAX_TAG:
            raise Invalid(f"Provided object does not match schema 'image': '{tag}' is too long: tags")
        await request.write(image_tag, request, lambda tags: sorted({*tags, tag}), self._config)
        return Reply.empty()

    async def remove(self, request: Request) -> Reply:
        """DELETE /v2/images/{image_id}/tags/{tag}"""
        tag = request.path["tag"]

        def without(tags: list[str]) -> list[str]:
            if tag not in tags:
                raise NotFound
            return [one for one in tags if one != tag]

        await request.write(image_tag, request, without, self._config)
        return Reply.empty()


def noun(config: ImageConfig) -> Noun:
    """Make the noun."""
    handlers = TagHandlers(config)
    return Noun(
        name="image_tag",
        routes=(
            Route(
                "PUT",
                TAG,
                handlers.add,
                status=204,
                rule="modify_image",
                body=NO_BODY,
                summary="Add a tag to an image",
            ),
            Route(
                "DELETE",
                TAG,
                handlers.remove,
                status=204,
                rule="modify_image",
                summary="Remove a tag of an image",
            ),
        ),
    )
