"""The desired state of a host's pools: read in one transaction, in a constant number of statements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, or_, select

from pileus.services.volume.agents.kinds import OF_HOSTS, VERBS
from pileus.services.volume.attachments.connections import export_of
from pileus.services.volume.operations import NODE
from pileus.services.volume.rules import states
from pileus.services.volume.tables.backups import volume_backups
from pileus.services.volume.tables.groups import volume_group_snapshots, volume_groups
from pileus.services.volume.tables.volumes import volume_attachments, volume_snapshots, volumes
from pileus.services.volume.uses.image import ImageFiles, images_of
from pileus.store.column_in import column_in
from pileus.store.events import newest_position
from pileus.store.operations import PENDING, RUNNING, WAITING, operations
from pileus.store.tx import Tx
from pileus.wire.hypervisor import ImageSource
from pileus.wire.volume import (
    GroupMember,
    VolumeBackup,
    VolumeDetails,
    VolumeExport,
    VolumeImage,
    VolumeOperation,
    VolumeSnapshot,
    VolumeSource,
    VolumeState,
    VolumeStateRequest,
)

_GOING = (states.DELETING, states.ERROR_DELETING)


def volume_state(tx: Tx, request: VolumeStateRequest, *, files: ImageFiles) -> VolumeState:
    """The volumes of the pools of the host that asks, or those of them that it names."""
    position = newest_position(tx)
    c = volumes.c
    where = [c.node == request.host]
    if request.volumes is not None:
        if not request.volumes:
            return VolumeState(position)
        where.append(column_in(tx, c.id, list(request.volumes)))
    rows = tx.rows(select(c.id, c.pool, c.size_gib, c.made, c.status).where(*where).order_by(c.id))
    ids = [row.id for row in rows]
    for_host = _host_operations(tx, request.host) if request.volumes is None else ()
    if not ids:
        return VolumeState(position, operations=for_host)
    snapshots, exports = _snapshots(tx, ids), _exports(tx, ids)
    pending = _operations(tx, {row.id: row.size_gib for row in rows}, files)
    return VolumeState(
        position,
        tuple(
            VolumeDetails(
                volume_id=row.id,
                pool=row.pool,
                size_gib=row.size_gib,
                ready=row.made and row.status not in _GOING,
                snapshots=tuple(snapshots.get(row.id, ())),
                exports=tuple(exports.get(row.id, ())),
                operations=tuple(pending.get(row.id, ())),
            )
            for row in rows
        ),
        for_host,
    )


def of_host(host: str) -> ColumnElement[bool]:
    """The condition on ``operations`` that a host has the backup, or the group, that they are about."""
    c, b, g, s = operations.c, volume_backups.c, volume_groups.c, volume_group_snapshots.c
    groups = select(s.id).where(s.group_id.in_(select(g.id).where(g.node == host)))
    return or_(c.resource_id.in_(select(b.id).where(b.node == host)), c.resource_id.in_(groups))


def _host_operations(tx: Tx, host: str) -> tuple[VolumeOperation, ...]:
    """The operations of a host on backups, also of those whose volumes are gone, and on groups."""
    c = operations.c
    rows = tx.rows(
        select(c.id, c.kind, c.data)
        .where(
            of_host(host),
            c.kind.in_(sorted(OF_HOSTS)),
            c.state.in_((PENDING, RUNNING, WAITING)),
            c.step == NODE,
        )
        .order_by(c.created_at, c.id)
    )
    return tuple(
        VolumeOperation(
            row.id,
            VERBS[row.kind],
            size_gib=row.data.get("size_gib", 0),
            backup=_backup(row.data),
            members=tuple(GroupMember(*one) for one in row.data.get("members", ())),
        )
        for row in rows
    )


def _snapshots(tx: Tx, ids: Sequence[str]) -> dict[str, list[VolumeSnapshot]]:
    c = volume_snapshots.c
    found: dict[str, list[VolumeSnapshot]] = {}
    for row in tx.rows(select(c.id, c.volume_id).where(column_in(tx, c.volume_id, ids), c.made)):
        found.setdefault(row.volume_id, []).append(VolumeSnapshot(row.id))
    return found


def _exports(tx: Tx, ids: Sequence[str]) -> dict[str, list[VolumeExport]]:
    c = volume_attachments.c
    rows = tx.rows(
        select(c.id, c.volume_id, c.mode, c.connector)
        .where(column_in(tx, c.volume_id, ids), c.connector.is_not(None))
        .order_by(c.created_at, c.id)
    )
    found: dict[str, list[VolumeExport]] = {}
    for row in rows:
        export = export_of(row.id, row.connector, read_only=row.mode == "ro")
        found.setdefault(row.volume_id, []).append(export)
    return found


def _operations(tx: Tx, sizes: Mapping[str, int], files: ImageFiles) -> dict[str, list[VolumeOperation]]:
    c = operations.c
    rows = tx.rows(
        select(c.id, c.kind, c.resource_id, c.data)
        .where(
            column_in(tx, c.resource_id, list(sizes)),
            c.kind.in_(sorted(VERBS)),
            c.state.in_((PENDING, RUNNING, WAITING)),
            c.step == NODE,
        )
        .order_by(c.created_at, c.id)
    )
    images = images_of(tx, {row.data["image_id"] for row in rows if row.data.get("image_id")})
    found: dict[str, list[VolumeOperation]] = {}
    for row in rows:
        data = row.data
        operation = VolumeOperation(
            operation_id=row.id,
            kind=VERBS[row.kind],
            size_gib=data.get("size_gib") or sizes[row.resource_id],
            snapshot_id=None if data.get("source") else data.get("snapshot_id"),
            source=_source(data, images, files),
            image=_image(data, files),
            backup=None if data.get("source") else _backup(data),
            name=data.get("name", ""),
        )
        found.setdefault(row.resource_id, []).append(operation)
    return found


def _source(data: Mapping[str, Any], images: Mapping[str, Any], files: ImageFiles) -> VolumeSource | None:
    kind = data.get("source")
    if kind is None:
        return None
    if kind == "image":
        image = images.get(data["image_id"])
        if image is None:  # deleted since: the node says that it can't be fetched
            return VolumeSource(image=ImageSource(data["image_id"], "raw", 0, "", "", "/gone"))
        return VolumeSource(
            image=ImageSource(
                image_id=image["id"],
                disk_format=image["disk_format"] or "raw",
                size=image["size"] or 0,
                os_hash_algo=image["os_hash_algo"] or "",
                os_hash_value=image["os_hash_value"] or "",
                path=files.download_path(image["id"]),
            )
        )
    if kind == "backup":
        return VolumeSource(backup=_backup(data))
    return VolumeSource(volume_id=data["volume_id"], snapshot_id=data.get("snapshot_id"))


def _backup(data: Mapping[str, Any]) -> VolumeBackup | None:
    if "stored_as" not in data:
        return None
    return VolumeBackup(data["stored_as"], data["location"], data.get("parent"))


def _image(data: Mapping[str, Any], files: ImageFiles) -> VolumeImage | None:
    """The image that is to be filled. Tickets end: each look gives fresh ones."""
    if "upload_to" not in data:
        return None
    image_id = data["upload_to"]
    return VolumeImage(
        image_id, data["disk_format"], files.upload_path(image_id), files.download_path(image_id)
    )
