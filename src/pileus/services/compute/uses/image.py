"""Reads of the image service."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select

from pileus.resource.access import Access
from pileus.resource.declaration import Values
from pileus.resource.rows import fetch
from pileus.services.compute.policy import is_admin
from pileus.services.image.members.tables import image_members
from pileus.services.image.service import IMAGE, image_get
from pileus.store.tx import Tx


def image_usable(tx: Tx, access: Access, image_id: str) -> Values | None:
    """An image that the caller may boot from, or None where there is none that he may see."""
    image = image_get(tx, image_id)
    if image is None or image["status"] in ("deleted", "pending_delete"):
        return None
    project_id = access.context.project_id
    own = image["owner"] == project_id or is_admin(access)
    if own or image["visibility"] in ("public", "community"):
        return image
    if image["visibility"] == "shared" and tx.first(
        select(image_members.c.image_id).where(
            image_members.c.image_id == image_id, image_members.c.member_id == (project_id or "")
        )
    ):
        return image
    return None


def images_of(tx: Tx, image_ids: Collection[str]) -> dict[str, Values]:
    """Images by id, whoever's they are."""
    if not image_ids:
        return {}
    return {one["id"]: one for one in fetch(tx, IMAGE, sorted(image_ids))}
