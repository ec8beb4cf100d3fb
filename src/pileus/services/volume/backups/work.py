"""Units of work of backups: made, put back, deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from pileus.core.context import Context
from pileus.core.ids import new_id
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.resource.rows import fetch
from pileus.services.volume.api import enforce
from pileus.services.volume.backups.resource import BACKUP
from pileus.services.volume.config import VolumeConfig
from pileus.services.volume.errors import (
    BackupNotFound,
    BadRequest,
    InvalidBackup,
    InvalidSnapshot,
    InvalidVolume,
    ServiceNotFound,
    SnapshotNotFound,
)
from pileus.services.volume.events import told_to, volume_event
from pileus.services.volume.operations import begin
from pileus.services.volume.pools.reading import BACKUP_BINARY, pools_read
from pileus.services.volume.quotas.counting import spend
from pileus.services.volume.rules import states
from pileus.services.volume.rules.placement import Pool
from pileus.services.volume.snapshots.resource import SNAPSHOT
from pileus.services.volume.tables.backups import volume_backups
from pileus.services.volume.volumes.creation import volume_create
from pileus.services.volume.volumes.lookup import must_be_placed, seen_volume, target_of, volume_change
from pileus.store.operations import FAILED, operation_end
from pileus.store.tx import Tx
from pileus.web.request import Request

MAKE, DROP, RESTORE, VERIFY = (
    "volume.backup",
    "volume.backup_delete",
    "volume.restore",
    "volume.backup_verify",
)
CONTAINER = "volumes"
"""Where backups go whose user names no container."""
_c = volume_backups.c


def find_backup(tx: Tx, request: Request, *, lock: bool = False) -> Values:
    """The backup that the path names, if the caller may see it and the route's rule allows this."""
    key = request.path["id"]
    found = fetch(tx, BACKUP, [key], lock=lock)
    target = {"project_id": found[0]["project_id"]} if found else None
    if not found or not request.access.allows("backup:get", target):
        raise BackupNotFound(id=key)
    enforce(request, target)
    return found[0]


def backup_change(tx: Tx, context: Context, backup: Values, **changes: Any) -> Values:
    """Write changes of one backup; its new values."""
    changed = BACKUP.change(tx, context, [Update(backup, Values(changes))])[0]
    tx.emit(event(context, "backup.update", changed["id"], changed["project_id"]))
    return changed


def _snapshot(tx: Tx, request: Request, snapshot_id: str, volume: Values) -> Values:
    found = fetch(tx, SNAPSHOT, [snapshot_id], lock=True)
    target = {"project_id": found[0]["project_id"]} if found else None
    if not found or not request.access.allows("volume:get_snapshot", target):
        raise SnapshotNotFound(id=snapshot_id)
    if found[0]["volume_id"] != volume["id"]:
        raise InvalidVolume(
            reason=f"Volume {volume['id']} does not match with snapshot.volume_id {found[0]['volume_id']}."
        )
    if found[0]["status"] != states.AVAILABLE:
        raise InvalidSnapshot(
            reason="Snapshot to be backed up must be available, but the current status is "
            f'"{found[0]["status"]}".'
        )
    return found[0]


def _check_volume(volume: Values, *, force: bool) -> None:
    if volume["status"] not in (states.AVAILABLE, states.IN_USE):
        raise InvalidVolume(
            reason="Volume to be backed up must be available or in-use, but the current status is "
            f'"{volume["status"]}".'
        )
    if volume["status"] == states.IN_USE and not force:
        raise InvalidVolume(reason="Backing up an in-use volume must use the force flag.")


def _pool(tx: Tx, request: Request, volume: Values, asked_zone: str | None, config: VolumeConfig) -> Pool:
    """The volume's pool, whose node backs it up. Raises ServiceNotFound where that can't."""
    pools = pools_read(tx, config, request.context.now)
    pool = next((one for one in pools if one.host == volume["host"]), None)
    if pool is None or not pool.up or pool.backup_place is None:
        raise ServiceNotFound(host=BACKUP_BINARY)
    if asked_zone not in (None, "", pool.zone):
        raise BadRequest(f"Invalid input received: Backups of this volume are made in the zone {pool.zone}.")
    return pool


def _parent(
    tx: Tx, project_id: str, volume: Values, place: str, container: str | None, before: Any | None
) -> Any:
    """The newest backup of a volume, whose sequel another one can be; ``before``: a snapshot's time."""
    where = [
        _c.volume_id == volume["id"],
        _c.project_id == project_id,
        _c.place == place,
        _c.status.not_in((states.ERROR, states.DELETING)),
    ]
    if before is not None:
        where.append(_c.data_timestamp < before)
    if container:
        where.append(_c.container == container)
    newest = tx.first(
        select(_c.id, _c.status, _c.container, _c.location, _c.stored_as)
        .where(*where)
        .order_by(_c.data_timestamp.desc(), _c.id)
        .limit(1)
    )
    if newest is None:
        raise InvalidBackup(reason="No backups available to do an incremental backup.")
    if newest.status != states.AVAILABLE:
        raise InvalidBackup(reason="The parent backup must be available for incremental backup.")
    return newest


def backup_create(tx: Tx, request: Request, asked: Mapping[str, Any], config: VolumeConfig) -> Values:
    """Have a backup made of a volume, or of a snapshot of it."""
    context = request.context
    volume = seen_volume(tx, request, asked["volume_id"], lock=True)
    request.authorise("backup:create", target_of(volume))
    snapshot = _snapshot(tx, request, asked["snapshot_id"], volume) if asked.get("snapshot_id") else None
    if snapshot is None:
        _check_volume(volume, force=bool(asked.get("force")))
    must_be_placed(volume)
    if volume["encrypted"]:
        raise InvalidVolume(reason="Encrypted volumes are not backed up.")
    pool = _pool(tx, request, volume, asked.get("availability_zone"), config)
    place = pool.backup_place or ""
    project_id, size = context.project_id or "", snapshot["size"] if snapshot else volume["size"]
    spend(tx, project_id, {"backups": 1, "backup_gigabytes": size})
    parent = None
    if asked.get("incremental"):
        before = snapshot["created_at"] if snapshot else None
        parent = _parent(tx, project_id, volume, place, asked.get("container"), before)
    container = parent.container if parent else asked.get("container") or CONTAINER
    row = {
        "id": (key := new_id()),
        "project_id": project_id,
        "user_id": context.user_id or "",
        "name": asked.get("name"),
        "description": asked.get("description"),
        "status": states.CREATING,
        "fail_reason": None,
        "size_gib": size,
        "object_count": 0,
        "availability_zone": pool.zone,
        "container": container,
        "volume_id": volume["id"],
        "snapshot_id": snapshot["id"] if snapshot else None,
        "parent_id": parent.id if parent else None,
        "restoring_to": None,
        "place": place,
        "location": parent.location if parent else f"{project_id}/{container}",
        "stored_as": key,
        "node": volume["node"],
        "metadata": asked.get("metadata") or {},
        "volume_facts": _facts(volume),
        "data_timestamp": snapshot["created_at"] if snapshot else context.now,
        "created_at": context.now,
        "updated_at": None,
    }
    tx.insert(volume_backups, [row])
    begin(
        *(tx, context, MAKE, volume["id"], project_id, config.copy_timeout_s),
        backup_id=key,
        stored_as=key,
        location=row["location"],
        parent=parent.stored_as if parent else None,
        snapshot_id=row["snapshot_id"],
    )
    tx.emit(event(context, "backup.create", key, project_id, volume_id=volume["id"], name=row["name"]))
    _occupy(tx, context, volume, snapshot)
    return fetch(tx, BACKUP, [key])[0]


def _facts(volume: Values) -> dict[str, Any]:
    return {
        "bootable": volume["bootable"],
        "metadata": dict(volume["metadata"]),
        "image_metadata": volume["volume_image_metadata"],
    }


def _occupy(tx: Tx, context: Context, volume: Values, snapshot: Values | None) -> None:
    """Nothing else is done meanwhile with a snapshot that is copied, or with a volume."""
    if snapshot is not None:
        SNAPSHOT.change(tx, context, [Update(snapshot, Values({"status": states.BACKING_UP}))])
        tx.emit(event(context, "snapshot.update", snapshot["id"], snapshot["project_id"]))
        tx.emit(volume_event(context, "volume.update", volume))
        return
    changes = {"status": states.BACKING_UP, "previous_status": volume["status"]}
    changed = volume_change(tx, context, volume, **changes)
    tx.emit(volume_event(context, "volume.update", changed, status=states.BACKING_UP))


# -- putting back


def backup_restore(
    tx: Tx, request: Request, asked: Mapping[str, Any], config: VolumeConfig
) -> dict[str, Any]:
    """Have a backup put into a volume, which is a new one where none is named."""
    backup = find_backup(tx, request, lock=True)
    if backup["status"] != states.AVAILABLE:
        raise InvalidBackup(reason="Backup status must be available")
    if asked.get("volume_id"):
        volume = _restore_into(tx, request, backup, asked["volume_id"], config)
    else:
        spec = {
            "size": backup["size"],
            "name": asked.get("name") or f"restore_backup_{backup['id']}",
            "description": "auto-created_from_restore_from_backup",
            "backup_id": backup["id"],
        }
        volume = volume_create(tx, request, {"volume": spec}, config)
        if volume["status"] == states.ERROR:
            raise InvalidVolume(reason=f"No pool has room for the volume of the backup {backup['id']}.")
    return {"backup_id": backup["id"], "volume_id": volume["id"], "volume_name": volume["name"]}


def _restore_into(tx: Tx, request: Request, backup: Values, volume_id: str, config: VolumeConfig) -> Values:
    context = request.context
    volume = seen_volume(tx, request, volume_id, lock=True)
    enforce(request, target_of(volume))
    if volume["status"] != states.AVAILABLE:
        raise InvalidVolume(reason="Volume to be restored to must be available")
    if volume["size"] < backup["size"]:
        raise InvalidVolume(
            reason=f"volume size {volume['size']} is too small to restore backup of size {backup['size']}."
        )
    if volume["encrypted"]:
        raise InvalidVolume(reason="Nothing is put back into encrypted volumes.")
    must_be_placed(volume)
    pools = pools_read(tx, config, context.now)
    pool = next((one for one in pools if one.host == volume["host"]), None)
    if pool is None or pool.backup_place != backup["place"]:
        raise InvalidVolume(reason=f"The node of volume {volume_id} does not have the backup's place.")
    backup_change(tx, context, backup, status=states.RESTORING, restoring_to=volume_id)
    changed = volume_change(tx, context, volume, status=states.RESTORING_BACKUP)
    begin(
        *(tx, context, RESTORE, volume_id, volume["project_id"], config.copy_timeout_s),
        backup_id=backup["id"],
        stored_as=backup["stored_as"],
        location=backup["location"],
    )
    tx.emit(volume_event(context, "volume.update", changed, status=states.RESTORING_BACKUP))
    return changed


# -- deleting


def backup_delete(tx: Tx, request: Request, config: VolumeConfig, *, force: bool = False) -> None:
    """Have a backup go. Raises InvalidBackup where it is busy, or others are its sequels."""
    context = request.context
    backup = find_backup(tx, request, lock=True)
    if not force and backup["status"] not in (states.AVAILABLE, states.ERROR):
        raise InvalidBackup(reason="Backup status must be available or error")
    if backup["has_dependent_backups"]:
        raise InvalidBackup(reason="Incremental backups exist for this backup.")
    same = [
        _c.place == backup["place"],
        _c.location == backup["location"],
        _c.stored_as == backup["stored_as"],
    ]
    if tx.first(select(_c.id).where(*same, _c.id != backup["id"]).limit(1)) is not None:
        BACKUP.remove(tx, [backup])  # its bytes are another backup's as well
        tx.emit(event(context, "backup.delete", backup["id"], backup["project_id"]))
        return
    operation_end(
        tx,
        FAILED,
        context.now,
        resource_ids=[backup["id"]],
        kinds=[VERIFY, DROP],
        error="The backup is being deleted.",
    )
    node = node_of(tx, context, backup["place"], config) or backup["node"]
    backup_change(tx, context, backup, status=states.DELETING, node=node)
    begin(
        *(tx, context, DROP, backup["id"], backup["project_id"], config.copy_timeout_s),
        backup_id=backup["id"],
        stored_as=backup["stored_as"],
        location=backup["location"],
    )
    tx.emit(event(context, "backup.update", backup["id"], backup["project_id"], told_to([node])))


def node_of(tx: Tx, context: Context, place: str, config: VolumeConfig) -> str | None:
    """A node that is up and has a place of backups."""
    pools = pools_read(tx, config, context.now)
    return next((one.node for one in pools if one.up and one.backup_place == place), None)


# -- states, said by administrators


def backup_reset(tx: Tx, request: Request, status: str) -> None:
    """Say what state a backup is in."""
    backup_change(tx, request.context, find_backup(tx, request, lock=True), status=status)
