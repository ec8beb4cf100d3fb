"""Volumes as the compute service needs them: to be attached to servers."""

from __future__ import annotations

from pileus.core.errors import NotFound
from pileus.resource.access import Access
from pileus.resource.declaration import Values
from pileus.services.compute.policy import is_admin
from pileus.services.volume.service import (
    CONNECTED,
    RESIZED,
    InvalidVolume,
    VolumeConfig,
    attachment_complete,
    attachment_connect,
    attachment_reserve,
    attachments_end,
    attachments_read,
    volume_held,
    volume_limits,
    volume_scopes_served,
    volume_set,
    volumes_delete,
    volumes_of,
)
from pileus.store.tx import Tx

__all__ = [
    "CONNECTED",
    "RESIZED",
    "InvalidVolume",
    "VolumeConfig",
    "attachment_complete",
    "attachment_connect",
    "attachment_reserve",
    "attachments_end",
    "attachments_read",
    "volume_held",
    "volume_limits",
    "volume_scopes_served",
    "volume_set",
    "volume_usable",
    "volumes_delete",
    "volumes_of",
]


class VolumeNotFound(NotFound):
    message = "Volume {id} could not be found."


def volume_usable(tx: Tx, access: Access, volume_id: str) -> Values:
    """A volume that the caller may attach, held until the transaction ends; VolumeNotFound otherwise."""
    try:
        volume = volume_held(tx, volume_id)
    except NotFound:
        raise VolumeNotFound(id=volume_id) from None
    if volume["project_id"] != access.context.project_id and not is_admin(access):
        raise VolumeNotFound(id=volume_id)
    return volume
