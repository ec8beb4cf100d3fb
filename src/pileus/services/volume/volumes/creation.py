"""New volumes: what they begin from, their type, their pool, and the operation that makes them.

All is decided in the request's unit of work. A volume for which no pool has room is made as well, in
``error``, with a message that says why, as Cinder has it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import select, update

from pileus.core.context import Context
from pileus.core.ids import new_id
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.resource.rows import fetch
from pileus.services.volume.config import VolumeConfig
from pileus.services.volume.errors import (
    BackupNotFound,
    BadRequest,
    GroupNotFound,
    ImageNotFound,
    InvalidBackup,
    InvalidSnapshot,
    InvalidVolume,
    SnapshotNotFound,
)
from pileus.services.volume.events import MADE, volume_event
from pileus.services.volume.messages import NO_BACKEND, message_create
from pileus.services.volume.operations import Ended, begin
from pileus.services.volume.pools.reading import pools_read
from pileus.services.volume.quotas.counting import check_size, limits_of, spend
from pileus.services.volume.rules import states
from pileus.services.volume.rules.placement import GIB, NoPool, Pool, Wanted, choose, says_true, zones_of
from pileus.services.volume.tables.backups import volume_backups
from pileus.services.volume.tables.groups import volume_groups
from pileus.services.volume.tables.types import volume_type_encryption
from pileus.services.volume.tables.volumes import volume_attachments, volume_snapshots, volumes
from pileus.services.volume.types.resource import VOLUME_TYPE
from pileus.services.volume.types.work import default_type, type_named
from pileus.services.volume.uses.image import image_facts, image_usable
from pileus.services.volume.volumes import resource
from pileus.services.volume.volumes.belonging import groups_settle
from pileus.services.volume.volumes.lookup import seen_volume
from pileus.services.volume.volumes.requests import HINTS
from pileus.store.column_in import column_in
from pileus.store.tx import Tx
from pileus.web.request import Request

CREATE = "volume.create"
ENCRYPTED = {"capabilities:encryption": "<is> True"}
_SOURCES = ("snapshot_id", "source_volid", "imageRef", "backup_id")


class Source(NamedTuple):
    """The beginning of a volume: its size at least, where it has to be, what it hands on."""

    least_gib: int = 0
    host: str | None = None
    zone: str | None = None
    type_id: str | None = None
    bootable: bool = False
    image_metadata: Mapping[str, str] | None = None
    data: Mapping[str, Any] = {}
    encrypted: bool = False
    metadata: Mapping[str, str] = {}
    backup_place: str | None = None


def _from_snapshot(tx: Tx, request: Request, snapshot_id: str) -> Source:
    row = tx.first(select(volume_snapshots).where(volume_snapshots.c.id == snapshot_id))
    target = None if row is None else {"project_id": row.project_id}
    if row is None or not request.access.allows("volume:get_snapshot", target):
        raise SnapshotNotFound(id=snapshot_id)
    if row.status != states.AVAILABLE:
        raise InvalidSnapshot(reason="Originating snapshot status must be one of 'available' values")
    volume = fetch(tx, resource.VOLUME, [row.volume_id])[0]
    data = {"source": "snapshot", "snapshot_id": snapshot_id, "volume_id": row.volume_id}
    return source_of_volume(volume, row.size_gib, data)


def source_of_volume(volume: Values, size_gib: int, data: Mapping[str, Any]) -> Source:
    """The source that a volume is (or its snapshot): what is made of it is like it."""
    return Source(
        size_gib,
        volume["host"],
        volume["availability_zone"],
        volume["volume_type_id"],
        volume["bootable"],
        volume["volume_image_metadata"],
        data,
        volume["encrypted"],
    )


def _from_volume(tx: Tx, request: Request, volume_id: str) -> Source:
    volume = seen_volume(tx, request, volume_id)
    if volume["status"] not in (states.AVAILABLE, states.IN_USE):
        raise InvalidVolume(
            reason=f"Source volume {volume_id} status must be available or in-use, but current status is: "
            f"{volume['status']}."
        )
    return source_of_volume(volume, volume["size"], {"source": "volume", "volume_id": volume_id})


def source_image(tx: Tx, request: Request, image_id: str, size: int) -> Source:
    """An image that the caller may use as the beginning of a volume of ``size`` GiB. Raises ImageNotFound,
    BadRequest."""
    image_id = image_id.rstrip("/").rpartition("/")[2]
    image = image_usable(tx, request.access, image_id)
    if image is None:
        raise ImageNotFound(id=image_id)
    if image["status"] != "active":
        raise BadRequest(f"Invalid image: Image {image_id} is not active.")
    least = max(-(-int(image[name] or 0) // GIB) for name in ("size", "virtual_size"))
    if least > size:
        raise BadRequest(
            f"Invalid input received: Size of specified image {least}GB is larger than volume size {size}GB."
        )
    if (image["min_disk"] or 0) > size:
        raise BadRequest(
            f"Invalid input received: Volume size {size}GB cannot be smaller than the image minDisk size "
            f"{image['min_disk']}GB."
        )
    facts = image_facts(image)
    return Source(0, bootable=True, image_metadata=facts, data={"source": "image", "image_id": image_id})


def _from_backup(tx: Tx, request: Request, backup_id: str) -> Source:
    c = volume_backups.c
    row = tx.first(select(volume_backups).where(c.id == backup_id).with_for_update())
    target = None if row is None else {"project_id": row.project_id}
    if row is None or not request.access.allows("backup:get", target):
        raise BackupNotFound(id=backup_id)
    request.authorise("backup:restore", target)
    if row.status != states.AVAILABLE:
        raise InvalidBackup(reason="Backup status must be available")
    facts = row.volume_facts
    data = {
        "source": "backup",
        "backup_id": backup_id,
        "stored_as": row.stored_as,
        "location": row.location,
    }
    return Source(
        row.size_gib,
        bootable=facts["bootable"],
        image_metadata=facts["image_metadata"],
        data=data,
        metadata=facts["metadata"],
        backup_place=row.place,
    )


def _source(tx: Tx, request: Request, asked: Mapping[str, Any]) -> Source:
    given = [name for name in _SOURCES if asked.get(name)]
    if len(given) > 1:
        raise BadRequest(
            "Only one source (source_volid, snapshot_id, imageRef or backup_id) can be named for a volume."
        )
    for name in ("source_replica", "consistencygroup_id"):
        if asked.get(name):
            raise BadRequest(f"Invalid input received: {name} is not supported in this cloud.")
    if asked.get("multiattach"):
        raise BadRequest(
            "Invalid input received: multiattach is a property of a volume type "
            "(extra spec multiattach='<is> True')."
        )
    if not given:
        return Source()
    if given[0] == "backup_id":
        return _from_backup(tx, request, str(asked["backup_id"]))
    key = str(asked[given[0]])
    if given[0] == "snapshot_id":
        return _from_snapshot(tx, request, key)
    if given[0] == "source_volid":
        return _from_volume(tx, request, key)
    return source_image(tx, request, key, asked.get("size") or 0)


def _size(asked: Mapping[str, Any], source: Source) -> int:
    size = asked.get("size")
    if size is None:
        if not source.least_gib:
            raise BadRequest(
                "Invalid input received: Volume size 'None' must be an integer and greater than 0"
            )
        return source.least_gib
    if size < source.least_gib:
        raise BadRequest(
            f"Invalid input received: Volume size {size}GB cannot be smaller than the source's size "
            f"{source.least_gib}GB."
        )
    return int(size)


def _type(tx: Tx, request: Request, asked: Mapping[str, Any], source: Source, config: VolumeConfig) -> Values:
    name = asked.get("volume_type")
    if name:
        found = type_named(tx, request.access, name)
        if source.type_id not in (None, found["id"]):
            raise BadRequest(
                f"Invalid input received: Invalid volume_type {found['id']} provided for creating volume "
                "from a volume or snapshot (requested type is not compatible; either match the source, or "
                "omit type argument)."
            )
        return found
    if source.type_id is not None:
        return fetch_type(tx, source.type_id)
    return default_type(tx, request.context, config)


def fetch_type(tx: Tx, type_id: str) -> Values:
    """A type by its id, whoever may see it."""
    return fetch(tx, VOLUME_TYPE, [type_id])[0]


def _hints(tx: Tx, request: Request, body: Mapping[str, Any]) -> dict[str, list[str]]:
    """The pools of the volumes that hints name, by the hint. Raises BadRequest for hints that mean
    nothing here."""
    hints = dict(body["volume"].get(HINTS) or {}) | dict(body.get(HINTS) or {})
    for name in ("local_to_instance", "query"):
        if name in hints:
            raise BadRequest(f"Invalid input received: The scheduler hint {name} is not supported.")
    found = {}
    for name in ("same_host", "different_host"):
        ids = hints.get(name)
        if not ids:
            continue
        ids = [ids] if isinstance(ids, str) else ids
        where = [volumes.c.id.in_(ids), volumes.c.project_id == request.context.project_id]
        found[name] = [row.host for row in tx.rows(select(volumes.c.host).where(*where)) if row.host]
    return found


def _zones(
    pools: Sequence[Pool], asked: str | None, source: Source, specs: Mapping[str, str], config: VolumeConfig
) -> list[str]:
    """The zones in which a volume may be put. Raises BadRequest for one that is none."""
    known = {pool.zone for pool in pools}
    if asked:
        if asked not in known and asked != config.default_zone:
            raise BadRequest(f"Invalid input received: Availability zone '{asked}' is invalid.")
        return [asked]
    if source.zone:
        return [source.zone]
    return zones_of(specs)


def volume_create(tx: Tx, request: Request, body: Mapping[str, Any], config: VolumeConfig) -> Values:
    """Write a new volume, and have a pool make it; in ``error`` where none can. Raises refusals."""
    context, asked = request.context, body["volume"]
    source = _source(tx, request, asked)
    size = _size(asked, source)
    project_id = context.project_id or ""
    check_size(limits_of(tx, project_id), size)
    kind = _type(tx, request, asked, source, config)
    group = _group(tx, request, asked, kind)
    encrypted = is_encrypted(tx, kind["id"])
    hints = _hints(tx, request, body)
    spend(tx, project_id, {"volumes": 1, "gigabytes": size}, kind["id"])
    tx.lock("volume_placement")
    pools = pools_read(tx, config, context.now)
    zones = _zones(pools, asked.get("availability_zone"), source, kind["extra_specs"], config)
    wanted = Wanted(
        size,
        {**kind["extra_specs"], **(ENCRYPTED if encrypted else {})},
        zones,
        _hosts(source, pools, hints.get("same_host"), group),
        hints.get("different_host", ()),
    )
    pool, reason = placed(pools, wanted)
    zone = zones[0] if zones else config.default_zone
    row = {
        **blank_row(context, asked, size),
        **decided_row(source, kind, pool, zone=zone, encrypted=encrypted),
        "group_id": None if group is None else group.id,
        "metadata": {**source.metadata, **(asked.get("metadata") or {})},
    }
    tx.insert(volumes, [row])
    made = fetch(tx, resource.VOLUME, [str(row["id"])])[0]
    if pool is None:
        told = [(made["id"], project_id, "Could not find any available weighted backend.")]
        message_create(tx, context, config, told, "schedule allocate volume", detail=NO_BACKEND)
    else:
        timeout = config.copy_timeout_s if source.data else config.operation_timeout_s
        begin(tx, context, CREATE, made["id"], project_id, timeout, **source.data)
        if source.backup_place is not None:
            _occupy(tx, context, source.data["backup_id"], made["id"])
    tx.emit(volume_event(context, "volume.create", made, new=True, name=made["name"], why=reason))
    return made


def _group(tx: Tx, request: Request, asked: Mapping[str, Any], kind: Values) -> Any:
    """The group that a volume is to be in. Raises BadRequest where it can't be."""
    group_id = asked.get("group_id")
    if group_id is None:
        return None
    row = tx.first(select(volume_groups).where(volume_groups.c.id == group_id).with_for_update())
    target = None if row is None else {"project_id": row.project_id}
    if row is None or not request.access.allows("group:get", target):
        raise GroupNotFound(id=group_id)
    if row.project_id != request.context.project_id:
        raise BadRequest(f"Invalid input received: Group {group_id} is of another project.")
    if row.status not in (states.AVAILABLE, states.CREATING) or row.host is None:
        raise BadRequest(f"Invalid input received: Group {group_id} is {row.status}.")
    if kind["id"] not in row.volume_types:
        raise BadRequest(
            f"Invalid input received: Invalid volume_type {kind['id']} provided when creating volume in "
            f"group {group_id}, which does not support it."
        )
    return row


def _hosts(
    source: Source, pools: Sequence[Pool], asked: Collection[str] | None, group: Any
) -> Collection[str] | None:
    """The pools that can have what a volume begins with, and its group; None: all."""
    if group is not None:
        return [group.host] if source.host in (None, group.host) else []
    if source.host is not None:
        return [source.host]
    if source.backup_place is None:
        return asked
    able = [pool.host for pool in pools if pool.backup_place == source.backup_place]
    return able if asked is None else [host for host in able if host in asked]


def blank_row(context: Context, asked: Mapping[str, Any], size: int) -> dict[str, Any]:
    """The row of a volume as it is asked for, before anything is decided."""
    return {
        "id": new_id(),
        "project_id": context.project_id or "",
        "user_id": context.user_id or "",
        "name": asked.get("name") or asked.get("display_name"),
        "description": asked.get("description") or asked.get("display_description"),
        "size_gib": size,
        "wanted_size_gib": None,
        "previous_status": None,
        "migration_status": None,
        "group_id": None,
        "read_only": None,
        "encryption_key_id": None,
        "consumes_quota": True,
        "made": False,
        "created_at": context.now,
        "updated_at": None,
    }


def decided_row(
    source: Source, kind: Values, pool: Pool | None, *, zone: str, encrypted: bool
) -> dict[str, Any]:
    """The rest of it; ``zone``: where it counts as long as no pool has it."""
    return {
        "status": states.CREATING if pool else states.ERROR,
        "availability_zone": pool.zone if pool else zone,
        "volume_type_id": kind["id"],
        "snapshot_id": source.data.get("snapshot_id"),
        "source_volid": source.data.get("volume_id") if source.data.get("source") == "volume" else None,
        "bootable": source.bootable,
        "multiattach": says_true(kind["extra_specs"].get("multiattach")),
        "encrypted": encrypted,
        "image_metadata": source.image_metadata,
        "metadata": dict(source.metadata),
        "host": pool.host if pool else None,
        "node": pool.node if pool else None,
        "pool": pool.name if pool else None,
    }


def is_encrypted(tx: Tx, type_id: str) -> bool:
    """Whether volumes of a type are."""
    table = volume_type_encryption
    return tx.first(select(table.c.id).where(table.c.volume_type_id == type_id)) is not None


def placed(pools: Sequence[Pool], wanted: Wanted) -> tuple[Pool | None, str]:
    """The pool for a volume, or None and why there is none."""
    try:
        return choose(pools, wanted), ""
    except NoPool as nowhere:
        return None, "; ".join(f"{host}: {reason}" for host, reason in sorted(nowhere.reasons.items()))


def _occupy(tx: Tx, context: Context, backup_id: str, volume_id: str) -> None:
    """A backup is being put into a volume."""
    values = {"status": states.RESTORING, "restoring_to": volume_id, "updated_at": context.now}
    tx.execute(update(volume_backups).where(volume_backups.c.id == backup_id).values(values))


def backups_release(tx: Tx, context: Context, volume_ids: Sequence[str]) -> None:
    """The backups that were being put into volumes can be used again."""
    c = volume_backups.c
    back = {"status": states.AVAILABLE, "restoring_to": None, "updated_at": context.now}
    where = [column_in(tx, c.restoring_to, list(volume_ids)), c.status == states.RESTORING]
    tx.execute(update(volume_backups).where(*where).values(back))


def finish_create(tx: Tx, context: Context, several: Sequence[Ended], *, config: VolumeConfig) -> None:
    """Volumes are there, or could not be made."""
    ended = {one.operation.resource_id: one for one in several}
    found = fetch(tx, resource.VOLUME, sorted(ended), lock=True)
    updates, failed = [], []
    reserved = _reserved(tx, sorted(ended))
    for volume in found:
        one = ended[volume["id"]]
        changes: dict[str, Any] = {}
        if one.error is None:
            changes["made"] = True
        if volume["status"] == states.CREATING:
            free = states.RESERVED if volume["id"] in reserved else states.AVAILABLE
            changes["status"] = free if one.error is None else states.ERROR
        if one.error is not None:
            failed.append((volume["id"], volume["project_id"], one.error))
        updates.append(Update(volume, Values(changes)))
    resource.VOLUME.change(tx, context, updates)
    groups_settle(tx, context, {one.original["group_id"] for one in updates})
    backups_release(tx, context, [key for key, one in ended.items() if one.operation.data.get("stored_as")])
    message_create(tx, context, config, failed, "create volume from backend storage")
    tx.emit_many(
        [
            volume_event(context, "volume.update", one.original, status=one.changes.get("status"))
            for one in updates
        ]
    )
    tx.emit_many([event(context, MADE, one, None) for one in sorted(reserved)])


def _reserved(tx: Tx, volume_ids: Sequence[str]) -> set[str]:
    """Those of some volumes that servers wait for."""
    c = volume_attachments.c
    rows = tx.rows(select(c.volume_id).where(column_in(tx, c.volume_id, volume_ids)))
    return {row.volume_id for row in rows}
