"""Images as the volume service needs them: to make volumes of, and to be made of volumes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol

from pileus.core.context import Context
from pileus.resource.access import Access
from pileus.resource.declaration import Values
from pileus.resource.rows import fetch
from pileus.services.image import service as images_own
from pileus.services.image.service import (
    IMAGE,
    OWN_ATTRIBUTES,
    ImageConfig,
    image_create,
    image_delete,
    new_image,
)
from pileus.services.volume.policy import is_admin
from pileus.store.tx import Tx

__all__ = [
    "IMAGE_FACTS",
    "OWN_ATTRIBUTES",
    "ImageFiles",
    "image_begin",
    "image_drop",
    "image_facts",
    "image_usable",
    "images_of",
]


class ImageFiles(Protocol):
    """The bytes of images; ``pileus.services.image.service.Images`` has them."""

    config: ImageConfig

    def download_path(self, image_id: str) -> str:
        """Where a node gets an image's bytes, below a server's address, with a ticket."""

    def upload_path(self, image_id: str) -> str:
        """Where a node puts them, with a ticket."""

    async def delete_data(self, name: str) -> None:
        """Delete an object of the store whose image is gone."""


def image_usable(tx: Tx, access: Access, image_id: str) -> Values | None:
    """An image that the caller may use, or None where there is none that he may see."""
    return images_own.image_usable(tx, image_id, access.context.project_id, administers=is_admin(access))


def images_of(tx: Tx, image_ids: Collection[str]) -> dict[str, Values]:
    """Images by id, whoever's they are."""
    return {one["id"]: one for one in fetch(tx, IMAGE, sorted(image_ids))} if image_ids else {}


def image_begin(
    tx: Tx, context: Context, files: ImageFiles, properties: Mapping[str, str], **values: object
) -> Values:
    """Write a new image, whose bytes a node will bring. Raises the image service's refusals."""
    image = new_image(context, properties, **values)
    return image_create(tx, context, [image], config=files.config)[0]


def image_drop(tx: Tx, context: Context, image: Values) -> None:
    """Delete an image that has no bytes."""
    image_delete(tx, context, [Values({**image, "protected": False})])


_FACTS = ("checksum", "container_format", "disk_format", "min_disk", "min_ram", "size")
IMAGE_FACTS = frozenset({"image_id", "image_name", *_FACTS})
"""The names in a volume's image metadata that are no properties of its image."""


def image_facts(image: Mapping[str, Any]) -> dict[str, str]:
    """The facts of an image that a volume keeps, which was made of it: its image metadata."""
    facts = {"image_id": image["id"], "image_name": image["name"] or ""}
    facts |= {name: str(image[name]) for name in _FACTS if image[name] is not None}
    return {**{name: str(text) for name, text in image["properties"].items()}, **facts}
