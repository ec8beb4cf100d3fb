"""Volumes of new servers: made for them, each reserved for its server from the beginning.

Compute has checked who may use what; here it is decided in which pools they go, and written, for all servers
of one request together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import or_, select, true

from pileus.core.context import Context
from pileus.core.errors import Conflict
from pileus.resource.declaration import Values
from pileus.resource.event import event
from pileus.resource.rows import fetch
from pileus.services.volume.attachments.work import attachment_row
from pileus.services.volume.config import VolumeConfig
from pileus.services.volume.errors import ImageNotFound, SnapshotNotFound
from pileus.services.volume.events import volume_event
from pileus.services.volume.operations import begin_several
from pileus.services.volume.pools.reading import pools_read
from pileus.services.volume.quotas.counting import check_size, limits_of, spend
from pileus.services.volume.rules import states
from pileus.services.volume.rules.placement import Pool, Wanted, zones_of
from pileus.services.volume.tables.types import volume_type_projects, volume_types
from pileus.services.volume.tables.volumes import volume_attachments, volume_snapshots, volumes
from pileus.services.volume.types.work import default_type
from pileus.services.volume.uses.image import image_facts, images_of
from pileus.services.volume.volumes.creation import (
    CREATE,
    ENCRYPTED,
    Source,
    blank_row,
    decided_row,
    fetch_type,
    is_encrypted,
    placed,
    source_of_volume,
)
from pileus.services.volume.volumes.resource import VOLUME
from pileus.store.column_in import column_in
from pileus.store.operations import FAILED, operations
from pileus.store.tx import Tx


class NoRoom(Conflict):
    message = "No pool has room for a volume of {size} GiB of the type {type}."


class Recipe(NamedTuple):
    """The volume that each server is to have; it begins from an image or a snapshot, or is empty."""

    size: int
    image_id: str | None = None
    snapshot_id: str | None = None
    type_id: str | None = None


class ForServer(NamedTuple):
    """Whose volume it is to be, and its name."""

    server_id: str
    project_id: str
    user_id: str
    name: str


def type_usable(tx: Tx, project_id: str, name: str) -> str | None:
    """The id of the volume type that a project means by an id or a name; None: it may use none such."""
    c, given = volume_types.c, volume_type_projects.c
    may = or_(
        c.is_public == true(), c.id.in_(select(given.volume_type_id).where(given.project_id == project_id))
    )
    row = tx.first(select(c.id).where(or_(c.id == name, c.name == name), may))
    return None if row is None else str(row.id)


def snapshots_of(tx: Tx, snapshot_ids: Sequence[str]) -> dict[str, Any]:
    """Rows of snapshots by id, whoever's they are."""
    c = volume_snapshots.c
    rows = (
        tx.rows(select(volume_snapshots).where(column_in(tx, c.id, list(snapshot_ids))))
        if snapshot_ids
        else []
    )
    return {row.id: row for row in rows}


def failures_of(tx: Tx, volume_ids: Sequence[str]) -> dict[str, str]:
    """Why volumes could not be made, by their ids."""
    c = operations.c
    where = [column_in(tx, c.resource_id, list(volume_ids)), c.kind == CREATE, c.state == FAILED]
    return {row.resource_id: row.error or "" for row in tx.rows(select(c.resource_id, c.error).where(*where))}


def volumes_for_servers(
    tx: Tx, context: Context, recipe: Recipe, several: Sequence[ForServer], config: VolumeConfig
) -> list[dict[str, Any]]:
    """Write a volume for each of the servers, all of one project, and reserve it; the attachments, in the
    servers' order. Raises refusals: quotas, a source that is gone, no room."""
    source = _source(tx, recipe)
    project_id = several[0].project_id
    check_size(limits_of(tx, project_id), recipe.size)
    type_id = recipe.type_id or source.type_id
    kind = default_type(tx, context, config) if type_id is None else fetch_type(tx, type_id)
    spend(
        *(tx, project_id, {"volumes": len(several), "gigabytes": recipe.size * len(several)}, kind["id"]),
    )
    encrypted = is_encrypted(tx, kind["id"])
    zone = source.zone or config.default_zone
    rows = [
        {
            **blank_row(context, {}, recipe.size),
            **decided_row(source, kind, pool, zone=zone, encrypted=encrypted),
            "project_id": one.project_id,
            "user_id": one.user_id,
            "name": one.name,
            "description": "",
        }
        for one, pool in zip(
            several,
            _places(tx, context, recipe, source, kind, encrypted, len(several), config),
            strict=True,
        )
    ]
    tx.insert(volumes, rows)
    ids = [str(row["id"]) for row in rows]
    made = {one["id"]: one for one in fetch(tx, VOLUME, ids)}
    timeout = config.copy_timeout_s if source.data else config.operation_timeout_s
    begin_several(tx, context, CREATE, ids, project_id, timeout, **source.data)
    attachments = [
        attachment_row(context, made[key], status=states.RESERVED_ATTACHMENT, server_id=one.server_id)
        for key, one in zip(ids, several, strict=True)
    ]
    tx.insert(volume_attachments, attachments)
    tx.emit_many(
        [
            *(
                volume_event(context, "volume.create", made[key], new=True, name=made[key]["name"])
                for key in ids
            ),
            *(event(context, "volume_attachment.create", one["id"], project_id) for one in attachments),
        ]
    )
    return attachments


def _source(tx: Tx, recipe: Recipe) -> Source:
    if recipe.image_id is not None:
        image = images_of(tx, [recipe.image_id]).get(recipe.image_id)
        if image is None:
            raise ImageNotFound(id=recipe.image_id)
        data = {"source": "image", "image_id": recipe.image_id}
        return Source(bootable=True, image_metadata=image_facts(image), data=data)
    if recipe.snapshot_id is None:
        return Source()
    row = snapshots_of(tx, [recipe.snapshot_id]).get(recipe.snapshot_id)
    if row is None or row.status != states.AVAILABLE:
        raise SnapshotNotFound(id=recipe.snapshot_id)
    data = {"source": "snapshot", "snapshot_id": row.id, "volume_id": row.volume_id}
    return source_of_volume(fetch(tx, VOLUME, [row.volume_id])[0], row.size_gib, data)


def _places(
    tx: Tx,
    context: Context,
    recipe: Recipe,
    source: Source,
    kind: Values,
    encrypted: bool,
    many: int,
    config: VolumeConfig,
) -> list[Pool]:
    """A pool for each of the volumes; each that is placed counts for the next."""
    tx.lock("volume_placement")
    pools = pools_read(tx, config, context.now)
    specs: Mapping[str, str] = {**kind["extra_specs"], **(ENCRYPTED if encrypted else {})}
    zones = [source.zone] if source.zone else zones_of(kind["extra_specs"])
    wanted = Wanted(recipe.size, specs, zones, None if source.host is None else [source.host])
    found = []
    for _ in range(many):
        pool, _ = placed(pools, wanted)
        if pool is None:
            raise NoRoom(size=recipe.size, type=kind["name"])
        found.append(pool)
        fuller = pool._replace(provisioned=pool.provisioned + recipe.size, volumes=pool.volumes + 1)
        pools = [fuller if one.host == pool.host else one for one in pools]
    return found
