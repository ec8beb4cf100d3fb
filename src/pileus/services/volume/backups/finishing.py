"""Units of work about operations on backups that have ended on their nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import update

from pileus.core.context import Context
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.resource.rows import fetch
from pileus.services.volume.backups.resource import BACKUP
from pileus.services.volume.config import VolumeConfig
from pileus.services.volume.events import volume_event
from pileus.services.volume.messages import BACKUP as ABOUT
from pileus.services.volume.messages import message_create
from pileus.services.volume.operations import Ended
from pileus.services.volume.rules import states
from pileus.services.volume.tables.volumes import volume_snapshots
from pileus.services.volume.volumes.resource import VOLUME
from pileus.store.column_in import column_in
from pileus.store.tx import Tx


def _backups(tx: Tx, several: Sequence[Ended]) -> tuple[dict[str, Ended], list[Values]]:
    ended = {str(one.operation.data["backup_id"]): one for one in several}
    return ended, fetch(tx, BACKUP, sorted(ended), lock=True)


def _write(tx: Tx, context: Context, updates: list[Update]) -> None:
    BACKUP.change(tx, context, updates)
    tx.emit_many(
        [event(context, "backup.update", one.original["id"], one.original["project_id"]) for one in updates]
    )


def _failed(ended: dict[str, Ended], found: Sequence[Values]) -> list[tuple[str, str, str]]:
    return [
        (one["id"], one["project_id"], error)
        for one in found
        if (error := ended[one["id"]].error) is not None
    ]


def _there(one: Ended) -> dict[str, Any]:
    """A backup that was written or read: how many objects it has brought."""
    count = one.result.get("object_count")
    changes: dict[str, Any] = {"status": states.AVAILABLE, "fail_reason": None}
    if isinstance(count, int) and 0 <= count < 2**31:
        changes["object_count"] = count
    return changes


def _lost(one: Ended) -> dict[str, Any]:
    return {"status": states.ERROR, "fail_reason": one.error}


def finish_backup(tx: Tx, context: Context, several: Sequence[Ended], *, config: VolumeConfig) -> None:
    """Backups are there, or could not be made; what they were made of can be used again."""
    ended, found = _backups(tx, several)
    updates = [
        Update(backup, Values(_there(one) if one.error is None else _lost(one)))
        for backup in found
        if (one := ended[backup["id"]]) and backup["status"] == states.CREATING
    ]
    _write(tx, context, updates)
    message_create(tx, context, config, _failed(ended, found), "create backup", about=ABOUT)
    _release(tx, context, several)


def _release(tx: Tx, context: Context, several: Sequence[Ended]) -> None:
    c = volume_snapshots.c
    snapshots = [
        one.operation.data["snapshot_id"] for one in several if one.operation.data.get("snapshot_id")
    ]
    if snapshots:
        where = [column_in(tx, c.id, sorted(set(snapshots))), c.status == states.BACKING_UP]
        tx.execute(update(volume_snapshots).where(*where).values(status=states.AVAILABLE))
    ids = {one.operation.resource_id for one in several if not one.operation.data.get("snapshot_id")}
    updates = [
        Update(
            volume, Values({"status": volume["previous_status"] or states.AVAILABLE, "previous_status": None})
        )
        for volume in (fetch(tx, VOLUME, sorted(ids), lock=True) if ids else ())
        if volume["status"] == states.BACKING_UP
    ]
    VOLUME.change(tx, context, updates)
    tx.emit_many([volume_event(context, "volume.update", one.original, **one.changes) for one in updates])


def finish_restore(tx: Tx, context: Context, several: Sequence[Ended], *, config: VolumeConfig) -> None:
    """Volumes have the content of backups, or it could not be read: then they have neither."""
    ended, found = _backups(tx, several)
    facts = {one["id"]: one["volume_facts"] for one in found}
    _write(tx, context, [_restored(one) for one in found if one["status"] == states.RESTORING])
    by_volume = {one.operation.resource_id: one for one in several}
    updates = []
    for volume in fetch(tx, VOLUME, sorted(by_volume), lock=True):
        one = by_volume[volume["id"]]
        if volume["status"] != states.RESTORING_BACKUP:
            continue
        known = facts.get(one.operation.data["backup_id"])
        changes: dict[str, Any] = {
            "status": states.AVAILABLE if one.error is None else states.ERROR_RESTORING
        }
        if one.error is None and known is not None:
            changes |= {"bootable": known["bootable"], "volume_image_metadata": known["image_metadata"]}
        updates.append(Update(volume, Values(changes)))
    VOLUME.change(tx, context, updates)
    message_create(tx, context, config, _failed(ended, found), "restore backup", about=ABOUT)
    tx.emit_many([volume_event(context, "volume.update", one.original, **one.changes) for one in updates])


def _restored(backup: Values) -> Update:
    return Update(backup, Values({"status": states.AVAILABLE, "restoring_to": None}))


def finish_backup_delete(tx: Tx, context: Context, several: Sequence[Ended], *, config: VolumeConfig) -> None:
    """Backups are gone, or could not be deleted."""
    ended, found = _backups(tx, several)
    gone = [one for one in found if ended[one["id"]].error is None]
    kept = [one for one in found if ended[one["id"]].error is not None]
    if gone:
        BACKUP.remove(tx, gone)
        tx.emit_many([event(context, "backup.delete", one["id"], one["project_id"]) for one in gone])
    _write(tx, context, [Update(one, Values(_lost(ended[one["id"]]))) for one in kept])
    message_create(tx, context, config, _failed(ended, found), "delete backup", about=ABOUT)


def finish_verify(tx: Tx, context: Context, several: Sequence[Ended], *, config: VolumeConfig) -> None:
    """Backups whose records were imported were read, or can't be."""
    ended, found = _backups(tx, several)
    updates = [
        Update(
            one,
            Values(_there(ended[one["id"]]) if ended[one["id"]].error is None else _lost(ended[one["id"]])),
        )
        for one in found
        if one["status"] == states.CREATING
    ]
    _write(tx, context, updates)
    message_create(tx, context, config, _failed(ended, found), "create backup", about=ABOUT)
