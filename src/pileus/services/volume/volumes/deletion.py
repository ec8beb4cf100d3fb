"""Deleting volumes, with their snapshots where that is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import delete, select, update

from pileus.core.context import Context
from pileus.resource.declaration import Update, Values
from pileus.resource.rows import fetch
from pileus.services.volume.config import VolumeConfig
from pileus.services.volume.errors import InvalidVolume
from pileus.services.volume.events import volume_event
from pileus.services.volume.messages import message_create
from pileus.services.volume.operations import Ended, begin
from pileus.services.volume.rules import states
from pileus.services.volume.tables.backups import volume_backups
from pileus.services.volume.tables.volumes import volume_attachments, volume_snapshots
from pileus.services.volume.volumes.belonging import groups_settle
from pileus.services.volume.volumes.creation import backups_release
from pileus.services.volume.volumes.lookup import find_volume, must_not_be_frozen, volume_change
from pileus.services.volume.volumes.resource import VOLUME
from pileus.store.column_in import column_in
from pileus.store.operations import FAILED, PENDING, RUNNING, WAITING, operation_end, operations
from pileus.store.tx import Tx
from pileus.web.request import Request

DELETE = "volume.delete"
_BACKUP = "volume.backup"
_SOURCES_OF = (
    "volume.create",
    "volume.snapshot",
    "volume.extend",
    "volume.restore",
    "volume.reimage",
    _BACKUP,
)

_GOING = "The volume is being deleted."


def volume_delete(
    tx: Tx, request: Request, config: VolumeConfig, *, cascade: bool = False, force: bool = False
) -> None:
    """Have a volume go. Raises InvalidVolume where it is not in a state to go, is attached or has
    snapshots."""
    volume = find_volume(tx, request, lock=True)
    must_not_be_frozen(tx, volume)
    c = volume_snapshots.c
    snapshots = tx.rows(select(c.id, c.status).where(c.volume_id == volume["id"]))
    if (
        volume["attachments"]
        or volume["group_id"]
        or (not force and volume["status"] not in states.DELETABLE)
    ):
        raise _refusal(volume)
    if snapshots and not cascade:
        raise _refusal(volume)
    if any(row.status not in states.SNAPSHOT_DELETABLE for row in snapshots) and not force:
        raise InvalidVolume(reason=f"Failed to update snapshot: a snapshot of {volume['id']} is busy.")
    if not volume["node"]:
        volumes_remove(tx, request.context, [volume])
        return
    volume_begin_delete(tx, request.context, volume, config)


def volumes_delete(tx: Tx, context: Context, several: Sequence[Values], config: VolumeConfig) -> None:
    """Have volumes go that a server leaves behind; those that have snapshots, or are not at rest, stay. One
    that was being made for the server goes."""
    ids = [volume["id"] for volume in several]
    found = fetch(tx, VOLUME, ids, lock=True) if ids else []
    of = volume_snapshots.c.volume_id
    with_snapshots = {row.volume_id for row in tx.rows(select(of).where(column_in(tx, of, ids)))}
    for volume in found:
        if _may_go(volume) and volume["id"] not in with_snapshots:
            volume_begin_delete(tx, context, volume, config)


def _may_go(volume: Values) -> bool:
    at_rest = volume["status"] in (*states.DELETABLE, states.CREATING)
    return at_rest and bool(volume["node"]) and not volume["group_id"]


def _refusal(volume: Mapping[str, object]) -> InvalidVolume:
    return InvalidVolume(
        reason="Volume status must be available or error or error_restoring or error_extending or "
        "error_managing and must not be migrating, attached, belong to a group, have snapshots, awaiting a "
        "transfer, or be disassociated from snapshots after volume transfer. "
        f"Its status is {volume['status']}."
    )


def volume_begin_delete(tx: Tx, context: Context, volume: Values, config: VolumeConfig) -> None:
    """Have a volume go, whatever it is."""
    changes = {"status": states.DELETING, "previous_status": volume["status"]}
    gone = volume_change(tx, context, volume, **changes)
    snapshots = volume_snapshots
    tx.execute(update(snapshots).where(snapshots.c.volume_id == volume["id"]).values(status=states.DELETING))
    tx.execute(delete(volume_attachments).where(volume_attachments.c.volume_id == volume["id"]))
    _end_backups(tx, context, volume["id"])
    # whatever its node was still to do with it, it need not
    operation_end(
        tx,
        FAILED,
        context.now,
        resource_ids=[volume["id"]],
        kinds=_SOURCES_OF,
        error=_GOING,
    )
    begin(tx, context, DELETE, volume["id"], volume["project_id"], config.operation_timeout_s)
    tx.emit(volume_event(context, "volume.update", gone, status=states.DELETING))


def _end_backups(tx: Tx, context: Context, volume_id: str) -> None:
    """Backups that were being made of a volume are lost, and one that was being put into it is free again."""
    o, b = operations.c, volume_backups.c
    where = [o.resource_id == volume_id, o.kind == _BACKUP, o.state.in_((PENDING, RUNNING, WAITING))]
    made = [row.data["backup_id"] for row in tx.rows(select(o.data).where(*where))]
    if made:
        lost = {"status": states.ERROR, "fail_reason": _GOING, "updated_at": context.now}
        tx.execute(update(volume_backups).where(b.id.in_(made), b.status == states.CREATING).values(lost))
    backups_release(tx, context, [volume_id])


def volumes_remove(tx: Tx, context: Context, several: Sequence[Values]) -> None:
    """Forget volumes of which nothing is left, with their snapshots."""
    ids = [one["id"] for one in several]
    for table in (volume_attachments, volume_snapshots):
        tx.execute(delete(table).where(column_in(tx, table.c.volume_id, ids)))
    VOLUME.remove(tx, several)
    tx.emit_many([volume_event(context, "volume.delete", one, new=True, name=one["name"]) for one in several])


def finish_delete(tx: Tx, context: Context, several: Sequence[Ended], *, config: VolumeConfig) -> None:
    """Volumes are gone, or could not be deleted."""
    ended = {one.operation.resource_id: one for one in several}
    found = fetch(tx, VOLUME, sorted(ended), lock=True)
    gone = [volume for volume in found if ended[volume["id"]].error is None]
    kept = [volume for volume in found if ended[volume["id"]].error is not None]
    if gone:
        volumes_remove(tx, context, gone)
    groups = {volume["group_id"] for volume in found}
    if not kept:
        groups_settle(tx, context, groups)
        return
    changes = Values({"status": states.ERROR_DELETING})
    VOLUME.change(tx, context, [Update(volume, changes) for volume in kept])
    groups_settle(tx, context, groups)
    ids = [volume["id"] for volume in kept]
    snapshots = volume_snapshots
    tx.execute(
        update(snapshots)
        .where(column_in(tx, snapshots.c.volume_id, ids), snapshots.c.status == states.DELETING)
        .values(status=states.ERROR_DELETING)
    )
    failed = [(one["id"], one["project_id"], ended[one["id"]].error or "") for one in kept]
    message_create(tx, context, config, failed, "delete volume")
    tx.emit_many([volume_event(context, "volume.update", one, status=states.ERROR_DELETING) for one in kept])
