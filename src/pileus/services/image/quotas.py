"""Quotas of images and of their mebibytes. Source: Image API v2, "Quota usage"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select

from pileus.core.errors import OverQuota
from pileus.resource.quota import Quota, count_rows, quota_read, quota_spend, quota_usage
from pileus.services.image.config import MIB, ImageConfig
from pileus.services.image.errors import LimitExceeded
from pileus.services.image.images.tables import images
from pileus.store.tx import Tx

COUNT, SIZE = "image_count_total", "image_size_total"


def _mebibytes(tx: Tx, project_ids: list[str]) -> Mapping[str, int]:
    size = func.coalesce(images.c.reserved, images.c.size)
    statement = (
        select(images.c.owner, func.sum(size))
        .where(images.c.owner.in_(project_ids), size.is_not(None))
        .group_by(images.c.owner)
    )
    rows: Any = tx.rows(statement)
    return {project_id: -(-int(size) // MIB) for project_id, size in rows}


def quotas(config: ImageConfig) -> tuple[Quota, Quota]:
    """How many images and how many MiB."""
    return (
        Quota("image", COUNT, config.project_images, count_rows(images.c.owner)),
        Quota("image", SIZE, config.project_mib, _mebibytes),
    )


def spend_image(tx: Tx, project_id: str | None, config: ImageConfig) -> None:
    """Count one image more; raises LimitExceeded."""
    _spend(tx, project_id, 1, quotas(config)[0])


def spend_bytes(tx: Tx, project_id: str | None, size: int, config: ImageConfig) -> None:
    """Count bytes more (at least a MiB, so that a full project is told before it uploads)."""
    _spend(tx, project_id, max(1, -(-size // MIB)), quotas(config)[1])


def _spend(tx: Tx, project_id: str | None, delta: int, quota: Quota) -> None:
    try:
        quota_spend(tx, {project_id: delta}, quota)
    except OverQuota:
        assert project_id is not None
        limit = quota_read(tx, [project_id], [quota])[project_id][quota.resource]
        raise LimitExceeded(
            f"The project {project_id} is over its limit for {quota.resource} of {limit}."
        ) from None


def usage(tx: Tx, project_id: str | None, config: ImageConfig) -> dict[str, dict[str, int]]:
    """Limit and usage of each quota, as ``GET /v2/info/usage`` shows them."""
    known = quotas(config)
    if project_id is None:
        return {}
    limits = quota_read(tx, [project_id], known)[project_id]
    used = quota_usage(tx, project_id, known)
    return {name: {"limit": limits[name], "usage": used[name]} for name in limits}
