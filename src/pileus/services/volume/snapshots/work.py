"""Units of work of snapshots: made, deleted, gone back to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sqlalchemy import delete, select, update

from pileus.core.context import Context
from pileus.core.ids import new_id
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.resource.rows import fetch
from pileus.services.volume.api import enforce, since
from pileus.services.volume.config import VolumeConfig
from pileus.services.volume.errors import InvalidSnapshot, InvalidVolume, SnapshotNotFound
from pileus.services.volume.events import volume_event
from pileus.services.volume.messages import SNAPSHOT as ABOUT
from pileus.services.volume.messages import message_create
from pileus.services.volume.operations import Ended, begin
from pileus.services.volume.quotas.counting import spend
from pileus.services.volume.rules import states
from pileus.services.volume.snapshots.resource import SNAPSHOT
from pileus.services.volume.tables.volumes import volume_snapshots, volumes
from pileus.services.volume.volumes.belonging import group_snapshots_settle
from pileus.services.volume.volumes.lookup import (
    find_volume,
    must_be,
    must_be_placed,
    must_not_be_frozen,
    seen_volume,
    volume_change,
)
from pileus.services.volume.volumes.resource import VOLUME
from pileus.store.column_in import column_in
from pileus.store.tx import Tx
from pileus.web.request import Request

MAKE, DROP, REVERT = "volume.snapshot", "volume.snapshot_delete", "volume.revert"


def find_snapshot(tx: Tx, request: Request, *, lock: bool = False) -> Values:
    """The snapshot that the path names, if the caller may see it and the route's rule allows this."""
    key = request.path["id"]
    found = fetch(tx, SNAPSHOT, [key], lock=lock)
    target = {"project_id": found[0]["project_id"]} if found else None
    if not found or not request.access.allows("volume:get_snapshot", target):
        raise SnapshotNotFound(id=key)
    enforce(request, target)
    return found[0]


def snapshot_change(tx: Tx, context: Context, snapshot: Values, **changes: Any) -> Values:
    """Write changes of one snapshot; returns its new values."""
    changed = SNAPSHOT.change(tx, context, [Update(snapshot, Values(changes))])[0]
    tx.emit(event(context, "snapshot.update", changed["id"], changed["project_id"]))
    return changed


def snapshot_row(context: Context, volume: Values, **values: Any) -> dict[str, Any]:
    """The row of a new snapshot of a volume."""
    return {
        "id": new_id(),
        "volume_id": volume["id"],
        "project_id": volume["project_id"],
        "user_id": context.user_id or "",
        "size_gib": volume["size"],
        "status": states.CREATING,
        "progress": "0%",
        "metadata": {},
        "group_snapshot_id": None,
        "consumes_quota": True,
        "made": False,
        "created_at": context.now,
        "updated_at": None,
        **values,
    }


def snapshot_create(tx: Tx, request: Request, asked: Mapping[str, Any], config: VolumeConfig) -> Values:
    """Have a snapshot made of a volume that is at rest; of one that is open with ``force``, or since 3.66."""
    context = request.context
    volume = seen_volume(tx, request, asked["volume_id"] or "None", lock=True)
    request.authorise("volume:create_snapshot", {"project_id": volume["project_id"]})
    allowed = [states.AVAILABLE]
    if asked.get("force") or since(request, "3.66"):
        allowed.append(states.IN_USE)
    must_be(volume, "create a snapshot", *allowed)
    return snapshot_begin(
        tx,
        context,
        volume,
        config,
        name=asked.get("name") or asked.get("display_name"),
        description=asked.get("description") or asked.get("display_description"),
        metadata=asked.get("metadata") or {},
    )


def snapshot_begin(
    tx: Tx,
    context: Context,
    volume: Values,
    config: VolumeConfig,
    *,
    name: str | None,
    description: str | None = None,
    metadata: Mapping[str, str] = MappingProxyType({}),
) -> Values:
    """Have a snapshot made of a volume, held, whatever has it open. Raises QuotaError and InvalidVolume."""
    must_be_placed(volume)
    must_not_be_frozen(tx, volume)
    size = volume["size"]
    spend(tx, volume["project_id"], {"snapshots": 1, "gigabytes": size}, volume["volume_type_id"])
    row = snapshot_row(context, volume, name=name, description=description, metadata=dict(metadata))
    tx.insert(volume_snapshots, [row])
    begin(
        *(tx, context, MAKE, volume["id"], volume["project_id"], config.operation_timeout_s),
        snapshot_id=row["id"],
    )
    tx.emit(event(context, "snapshot.create", str(row["id"]), volume["project_id"], volume_id=volume["id"]))
    tx.emit(volume_event(context, "volume.update", volume, snapshot=row["id"]))
    return fetch(tx, SNAPSHOT, [str(row["id"])])[0]


def snapshot_delete(tx: Tx, request: Request, config: VolumeConfig, *, force: bool = False) -> None:
    """Have a snapshot go."""
    snapshot = find_snapshot(tx, request, lock=True)
    busy = not force and snapshot["status"] not in states.SNAPSHOT_DELETABLE
    if busy or snapshot["group_snapshot_id"]:
        raise InvalidSnapshot(
            reason="Snapshot status must be available or error, and must not be part of a group snapshot. "
            f"Its status is {snapshot['status']}."
        )
    snapshot_begin_delete(tx, request.context, snapshot, config)


def snapshot_begin_delete(tx: Tx, context: Context, snapshot: Values, config: VolumeConfig) -> None:
    """Have a snapshot go. Raises BadRequest where its pool is frozen."""
    volume = fetch(tx, VOLUME, [snapshot["volume_id"]])[0]
    must_not_be_frozen(tx, volume)
    SNAPSHOT.change(tx, context, [Update(snapshot, Values({"status": states.DELETING}))])
    begin(
        *(tx, context, DROP, volume["id"], volume["project_id"], config.operation_timeout_s),
        snapshot_id=snapshot["id"],
    )
    tx.emit(event(context, "snapshot.update", snapshot["id"], snapshot["project_id"]))
    tx.emit(volume_event(context, "volume.update", volume, snapshot=snapshot["id"]))


def volume_revert(tx: Tx, request: Request, snapshot_id: str, config: VolumeConfig) -> None:
    """Have a volume be again what it was in its newest snapshot."""
    volume = find_volume(tx, request, lock=True)
    c = volume_snapshots.c
    newest = tx.first(
        select(c.id, c.status, c.size_gib)
        .where(c.volume_id == volume["id"])
        .order_by(c.created_at.desc(), c.id)
        .limit(1)
    )
    if newest is None or newest.id != snapshot_id:
        raise InvalidSnapshot(
            reason=f"Snapshot {snapshot_id} is not the latest one of volume {volume['id']}."
        )
    must_be(volume, "revert", states.AVAILABLE)
    if newest.status != states.AVAILABLE:
        raise InvalidSnapshot(reason=f"Snapshot {snapshot_id} is {newest.status}.")
    if newest.size_gib != volume["size"]:
        raise InvalidVolume(
            reason=f"Can't revert volume {volume['id']} to its latest snapshot {snapshot_id}. The volume "
            "size must be equal to the snapshot size."
        )
    must_not_be_frozen(tx, volume)
    changed = volume_change(tx, request.context, volume, status=states.REVERTING)
    begin(
        *(tx, request.context, REVERT, volume["id"], volume["project_id"], config.copy_timeout_s),
        snapshot_id=snapshot_id,
    )
    tx.emit(volume_event(request.context, "volume.update", changed, status=states.REVERTING))


# -- what ended on nodes


def _snapshots_of(tx: Tx, several: Sequence[Ended]) -> tuple[dict[str, Ended], list[Values]]:
    ended = {str(one.operation.data["snapshot_id"]): one for one in several}
    return ended, fetch(tx, SNAPSHOT, sorted(ended), lock=True)


def finish_snapshot(tx: Tx, context: Context, several: Sequence[Ended], *, config: VolumeConfig) -> None:
    """Snapshots are there, or could not be made."""
    ended, found = _snapshots_of(tx, several)
    updates, failed = [], []
    for snapshot in found:
        error = ended[snapshot["id"]].error
        changes: dict[str, Any] = {"made": True, "progress": "100%"} if error is None else {}
        if snapshot["status"] == states.CREATING:
            changes["status"] = states.AVAILABLE if error is None else states.ERROR
        if error is not None:
            failed.append((snapshot["id"], snapshot["project_id"], error))
        updates.append(Update(snapshot, Values(changes)))
    SNAPSHOT.change(tx, context, updates)
    message_create(tx, context, config, failed, "create snapshot", about=ABOUT)
    _tell(tx, context, found, "snapshot.update")


def finish_drop(tx: Tx, context: Context, several: Sequence[Ended], *, config: VolumeConfig) -> None:
    """Snapshots are gone, or could not be deleted."""
    ended, found = _snapshots_of(tx, several)
    gone = [snapshot for snapshot in found if ended[snapshot["id"]].error is None]
    kept = [snapshot for snapshot in found if ended[snapshot["id"]].error is not None]
    if gone:
        ids = [snapshot["id"] for snapshot in gone]
        tx.execute(delete(volume_snapshots).where(column_in(tx, volume_snapshots.c.id, ids)))
        _tell(tx, context, gone, "snapshot.delete")
    SNAPSHOT.change(
        tx, context, [Update(snapshot, Values({"status": states.ERROR_DELETING})) for snapshot in kept]
    )
    group_snapshots_settle(tx, context, {one["group_snapshot_id"] for one in found})
    failed = [(one["id"], one["project_id"], ended[one["id"]].error or "") for one in kept]
    message_create(tx, context, config, failed, "delete snapshot", about=ABOUT)
    _tell(tx, context, kept, "snapshot.update")


def finish_revert(tx: Tx, context: Context, several: Sequence[Ended], *, config: VolumeConfig) -> None:
    """Volumes are what they were, or it could not be."""
    ended = {one.operation.resource_id: one for one in several}
    failed = [
        (key, one.operation.project_id or "", one.error)
        for key, one in ended.items()
        if one.error is not None
    ]
    for status, ids in (
        (states.AVAILABLE, [key for key, one in ended.items() if one.error is None]),
        (states.ERROR, [key for key, _, _ in failed]),
    ):
        if ids:
            where = [column_in(tx, volumes.c.id, ids), volumes.c.status == states.REVERTING]
            tx.execute(update(volumes).where(*where).values(status=status, updated_at=context.now))
    message_create(tx, context, config, failed, "revert to snapshot")
    tx.emit_many(
        [
            event(context, "volume.update", one.operation.resource_id, one.operation.project_id)
            for one in several
        ]
    )


def _tell(tx: Tx, context: Context, several: Sequence[Values], kind: str) -> None:
    tx.emit_many([event(context, kind, one["id"], one["project_id"]) for one in several])
