"""Images as the compute service needs them: to boot from, and to make of servers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from sqlalchemy import select

from pileus.core.context import Context
from pileus.resource.access import Access
from pileus.resource.declaration import Values
from pileus.resource.rows import fetch
from pileus.services.compute.policy import is_admin
from pileus.services.image import service as images_own
from pileus.services.image.images.tables import image_properties, images
from pileus.services.image.service import (
    BASE,
    IMAGE,
    OWN_ATTRIBUTES,
    PREFIX,
    ImageConfig,
    LimitExceeded,
    image_create,
    image_delete,
    new_image,
)
from pileus.store.tx import Tx

__all__ = [
    "IMAGES",
    "OWN_ATTRIBUTES",
    "RESERVED",
    "ImageFiles",
    "LimitExceeded",
    "backups_of",
    "image_begin",
    "image_drop",
    "image_usable",
    "images_of",
]

IMAGES = f"{PREFIX}/v2/images"
RESERVED = frozenset(BASE)
"""Names of an image's own attributes, which no property can have."""


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
    """An image that the caller may boot from, or None where there is none that he may see."""
    return images_own.image_usable(tx, image_id, access.context.project_id, administers=is_admin(access))


def image_named(tx: Tx, name: str) -> Values | None:
    """The newest active image of a name that the cloud's administrators have made public, or None. Anybody
    may give his own image any name."""
    c = IMAGE.columns
    found = fetch(tx, IMAGE, None, [c["name"] == name, c["status"] == "active", c["visibility"] == "public"])
    return max(found, key=lambda one: (one["created_at"], one["id"]), default=None)


def images_of(tx: Tx, image_ids: Collection[str]) -> dict[str, Values]:
    """Images by id, whoever's they are."""
    if not image_ids:
        return {}
    return {one["id"]: one for one in fetch(tx, IMAGE, sorted(image_ids))}


def image_begin(
    tx: Tx,
    context: Context,
    files: ImageFiles,
    properties: dict[str, str],
    *,
    empty: bool = False,
    **values: object,
) -> str:
    """Write a new image, whose bytes a node will bring (``empty``: that has none, since its properties say
    all); its id. Raises the image service's refusals."""
    image = new_image(context, properties, **values)
    if empty:
        image["status"], image["size"] = "active", 0
    image_create(tx, context, [image], config=files.config)
    return str(image["id"])


def image_drop(tx: Tx, context: Context, image: Values) -> str | None:
    """Delete an image, whatever protects it; the object of the store whose bytes were its, if any."""
    image_delete(tx, context, [Values({**image, "protected": False})])
    name: str | None = image["object"]
    return name


def backups_of(tx: Tx, owner: str | None, server_id: str, backup_type: str) -> list[Values]:
    """The backups of one type of a server that an owner has, newest first."""
    properties = image_properties.c
    wanted = {"instance_uuid": server_id, "backup_type": backup_type, "image_type": "backup"}
    where = [
        images.c.id.in_(select(properties.image_id).where(properties.name == name, properties.value == value))
        for name, value in wanted.items()
    ]
    found = fetch(tx, IMAGE, None, [images.c.owner == owner, *where])
    return sorted(found, key=lambda image: (image["created_at"], image["id"]), reverse=True)
