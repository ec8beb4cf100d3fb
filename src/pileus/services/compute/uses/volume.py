"""Volumes as the compute service needs them: to be attached to servers, and made for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pileus.core.errors import NotFound
from pileus.resource.access import Access
from pileus.resource.declaration import Values
from pileus.services.compute.policy import is_admin
from pileus.services.volume.service import (
    CONNECTED,
    IMAGE_FACTS,
    MADE,
    RESIZED,
    ForServer,
    InvalidVolume,
    QuotaError,
    Recipe,
    VolumeConfig,
    attachment_complete,
    attachment_connect,
    attachment_reserve,
    attachments_complete,
    attachments_connect,
    attachments_end,
    attachments_read,
    attachments_replace,
    failures_of,
    snapshot_begin,
    snapshots_of,
    type_usable,
    volume_held,
    volume_limits,
    volume_scopes_served,
    volume_set,
    volumes_delete,
    volumes_for_servers,
    volumes_held,
    volumes_of,
)
from pileus.store.tx import Tx

__all__ = [
    "CONNECTED",
    "IMAGE_FACTS",
    "MADE",
    "RESIZED",
    "ForServer",
    "InvalidVolume",
    "QuotaError",
    "Recipe",
    "VolumeConfig",
    "attachment_complete",
    "attachment_connect",
    "attachment_reserve",
    "attachments_complete",
    "attachments_connect",
    "attachments_end",
    "attachments_read",
    "attachments_replace",
    "failures_of",
    "snapshot_begin",
    "snapshots_usable",
    "type_usable",
    "volume_held",
    "volume_limits",
    "volume_scopes_served",
    "volume_set",
    "volume_usable",
    "volumes_delete",
    "volumes_for_servers",
    "volumes_held",
    "volumes_of",
    "volumes_usable",
]


class VolumeNotFound(NotFound):
    message = "Volume {id} could not be found."


def volume_usable(tx: Tx, access: Access, volume_id: str) -> Values:
    """A volume that the caller may attach, held until the transaction ends; VolumeNotFound otherwise."""
    try:
        volume = volume_held(tx, volume_id)
    except NotFound:
        raise VolumeNotFound(id=volume_id) from None
    if not _is_his(access, volume["project_id"]):
        raise VolumeNotFound(id=volume_id)
    return volume


def volumes_usable(tx: Tx, access: Access, volume_ids: Sequence[str]) -> dict[str, Values]:
    """Those of some volumes that the caller may attach, held until the transaction ends."""
    return {
        key: one for key, one in volumes_held(tx, volume_ids).items() if _is_his(access, one["project_id"])
    }


class SnapshotFacts(NamedTuple):
    """A snapshot; ``of``: its volume."""

    id: str
    project_id: str
    status: str
    size_gib: int
    of: Values


def snapshots_usable(tx: Tx, access: Access, snapshot_ids: Sequence[str]) -> dict[str, SnapshotFacts]:
    """Those of some snapshots that the caller may make volumes of."""
    rows: dict[str, Any] = snapshots_of(tx, snapshot_ids)
    found = {key: row for key, row in rows.items() if _is_his(access, row.project_id)}
    volumes = volumes_of(tx, sorted({row.volume_id for row in found.values()}))
    return {
        key: SnapshotFacts(key, row.project_id, row.status, row.size_gib, volumes[row.volume_id])
        for key, row in found.items()
    }


def _is_his(access: Access, project_id: str) -> bool:
    return project_id == access.context.project_id or is_admin(access)
