"""Units of work of groups: made, also of other groups, changed, deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select, update

from pileus.core.context import Context
from pileus.core.errors import Invalid
from pileus.core.ids import new_id
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.resource.rows import fetch
from pileus.services.volume.api import enforce
from pileus.services.volume.config import VolumeConfig
from pileus.services.volume.errors import GroupNotFound, InvalidVolume
from pileus.services.volume.events import volume_event
from pileus.services.volume.groups.resource import GROUP, GROUP_SNAPSHOT, GroupSnapshotNotFound
from pileus.services.volume.groups.types import group_type_named
from pileus.services.volume.pools.reading import pools_read
from pileus.services.volume.quotas.counting import spend
from pileus.services.volume.rules import states
from pileus.services.volume.rules.placement import NoPool, Wanted, choose, lacking
from pileus.services.volume.tables.groups import volume_group_snapshots, volume_groups
from pileus.services.volume.tables.volumes import volume_snapshots, volumes
from pileus.services.volume.types.work import type_named
from pileus.services.volume.volumes.belonging import groups_settle
from pileus.services.volume.volumes.creation import volume_create
from pileus.services.volume.volumes.deletion import volume_begin_delete, volumes_remove
from pileus.services.volume.volumes.resource import VOLUME
from pileus.store.column_in import column_in
from pileus.store.tx import Tx
from pileus.web.request import Request

_JOINING = (states.AVAILABLE, states.IN_USE)
_LEAVING = (states.AVAILABLE, states.IN_USE, states.ERROR, states.ERROR_DELETING)
_g, _v = volume_groups.c, volumes.c


class InvalidGroup(Invalid):
    message = "Invalid Group: {reason}"


def find_group(tx: Tx, request: Request, key: str | None = None, *, lock: bool = False) -> Values:
    """The group that the path names (or ``key``), if the caller may see it and the rule allows this."""
    wanted = key if key is not None else request.path["id"]
    found = fetch(tx, GROUP, [wanted], lock=lock)
    target = {"project_id": found[0]["project_id"]} if found else None
    if not found or not request.access.allows("group:get", target):
        raise GroupNotFound(id=wanted)
    enforce(request, target)
    return found[0]


def must_be_available(group: Values) -> None:
    """Raise InvalidGroup for a group in another state."""
    if group["status"] != states.AVAILABLE:
        raise InvalidGroup(
            reason=f"Group status must be available, but current status is: {group['status']}."
        )


def volumes_of_group(tx: Tx, group_id: str) -> list[Values]:
    """A group's volumes, held, oldest first."""
    ids = [row.id for row in tx.rows(select(_v.id).where(_v.group_id == group_id))]
    found = fetch(tx, VOLUME, sorted(ids), lock=True) if ids else []
    return sorted(found, key=lambda one: (one["created_at"], one["id"]))


def group_insert(tx: Tx, context: Context, **values: Any) -> dict[str, Any]:
    """Write a new group, which counts. Raises QuotaError."""
    project_id = context.project_id or ""
    spend(tx, project_id, {"groups": 1})
    row = {
        "id": new_id(),
        "project_id": project_id,
        "user_id": context.user_id or "",
        "group_snapshot_id": None,
        "source_group_id": None,
        "created_at": context.now,
        "updated_at": None,
        **values,
    }
    tx.insert(volume_groups, [row])
    tx.emit(event(context, "group.create", row["id"], project_id, name=row["name"]))
    return row


def group_create(tx: Tx, request: Request, asked: Mapping[str, Any], config: VolumeConfig) -> Values:
    """Make a group in a pool that is of all its volume types; in ``error`` where there is none."""
    kind = group_type_named(tx, request, asked["group_type"])
    kinds = [type_named(tx, request.access, name) for name in asked["volume_types"]]
    zone = asked.get("availability_zone")
    pools = pools_read(tx, config, request.context.now)
    if zone and zone not in {pool.zone for pool in pools} | {config.default_zone}:
        raise InvalidGroup(reason=f"Availability zone '{zone}' is invalid.")
    able = [pool for pool in pools if all(lacking(pool, one["extra_specs"]) is None for one in kinds)]
    try:
        pool = choose(able, Wanted(0, {}, [zone] if zone else ()))
    except NoPool:
        pool = None
    row = group_insert(
        tx,
        request.context,
        name=asked.get("name"),
        description=asked.get("description"),
        status=states.AVAILABLE if pool else states.ERROR,
        availability_zone=pool.zone if pool else zone or config.default_zone,
        group_type_id=kind["id"],
        volume_types=sorted({one["id"] for one in kinds}),
        host=pool.host if pool else None,
        node=pool.node if pool else None,
    )
    return fetch(tx, GROUP, [row["id"]])[0]


def group_from(tx: Tx, request: Request, asked: Mapping[str, Any], config: VolumeConfig) -> Values:
    """Make a group of the volumes of another one, or of those that a group snapshot has kept."""
    snapshot_id, source_id = asked.get("group_snapshot_id"), asked.get("source_group_id")
    if (snapshot_id is None) == (source_id is None):
        raise InvalidGroup(reason="Either a group snapshot or a source group must be named.")
    if snapshot_id is not None:
        source, specs = _of_snapshot(tx, request, snapshot_id)
    else:
        source = find_group(tx, request, source_id, lock=True)
        specs = [
            {"source_volid": one["id"], "size": one["size"], "volume_type": one["volume_type_id"]}
            for one in volumes_of_group(tx, source["id"])
        ]
    if not specs:
        raise InvalidGroup(reason="The source of the group is empty. No group will be created.")
    row = group_insert(
        tx,
        request.context,
        name=asked.get("name"),
        description=asked.get("description"),
        status=states.CREATING,
        availability_zone=source["availability_zone"],
        group_type_id=source["group_type"],
        volume_types=source["volume_types"],
        group_snapshot_id=snapshot_id,
        source_group_id=source_id,
        host=source["host"],
        node=source["node"],
    )
    for spec in specs:  # few: the volumes of one group
        volume_create(tx, request, {"volume": {**spec, "group_id": row["id"]}}, config)
    groups_settle(tx, request.context, [row["id"]])
    return fetch(tx, GROUP, [row["id"]])[0]


def _of_snapshot(tx: Tx, request: Request, snapshot_id: str) -> tuple[Values, list[dict[str, Any]]]:
    found = fetch(tx, GROUP_SNAPSHOT, [snapshot_id], lock=True)
    target = {"project_id": found[0]["project_id"]} if found else None
    if not found or not request.access.allows("group:get_group_snapshot", target):
        raise GroupSnapshotNotFound(id=snapshot_id)
    if found[0]["status"] != states.AVAILABLE:
        raise InvalidGroup(reason=f"Group snapshot {snapshot_id} is {found[0]['status']}.")
    source = find_group(tx, request, found[0]["group_id"], lock=True)
    c = volume_snapshots.c
    rows = tx.rows(
        select(c.id, c.size_gib, _v.volume_type_id)
        .select_from(volume_snapshots.join(volumes, _v.id == c.volume_id))
        .where(c.group_snapshot_id == snapshot_id)
        .order_by(c.created_at, c.id)
    )
    return source, [
        {"snapshot_id": row.id, "size": row.size_gib, "volume_type": row.volume_type_id} for row in rows
    ]


# -- changes


def _ids(text: str | None) -> list[str]:
    return [one.strip() for one in (text or "").split(",") if one.strip()]


def group_update(tx: Tx, request: Request, asked: Mapping[str, Any]) -> None:
    """Give a group another name, volumes that were in none, or take volumes from it."""
    context = request.context
    group = find_group(tx, request, lock=True)
    must_be_available(group)
    changes = {name: asked[name] for name in ("name", "description") if asked.get(name) is not None}
    added, removed = set(_ids(asked.get("add_volumes"))), set(_ids(asked.get("remove_volumes")))
    if both := added & removed:
        raise InvalidGroup(reason=f"Volume {min(both)} is to be added and to be removed.")
    mine = {one["id"]: one for one in volumes_of_group(tx, group["id"])}
    for volume_id in sorted(removed):
        _may_leave(mine.get(volume_id), volume_id, group)
    joining = added - mine.keys()
    found = {one["id"]: one for one in (fetch(tx, VOLUME, sorted(joining), lock=True) if joining else ())}
    for volume_id in sorted(joining):
        _may_join(request, found.get(volume_id), volume_id, group)
    if not (changes or removed or joining):
        raise InvalidGroup(
            reason=f"Cannot update group {group['id']} because no valid name, description, add_volumes, or "
            "remove_volumes were provided."
        )
    GROUP.change(tx, context, [Update(group, Values(changes))])
    for ids, value in ((removed, None), (joining, group["id"])):
        if ids:
            tx.execute(update(volumes).where(column_in(tx, _v.id, sorted(ids))).values(group_id=value))
    changed = [mine[key] for key in sorted(removed)] + [found[key] for key in sorted(joining)]
    tx.emit(event(context, "group.update", group["id"], group["project_id"]))
    tx.emit_many([volume_event(context, "volume.update", one) for one in changed])


def _may_leave(volume: Values | None, volume_id: str, group: Values) -> None:
    def refuse(why: str) -> InvalidVolume:
        return InvalidVolume(
            reason=f"Cannot remove volume {volume_id} from group {group['id']} because {why}."
        )

    if volume is None:
        raise refuse("it is not in the group")
    if volume["status"] not in _LEAVING:
        raise refuse(f"volume is in an invalid state: {volume['status']}")


def _may_join(request: Request, volume: Values | None, volume_id: str, group: Values) -> None:
    def refuse(why: str) -> InvalidVolume:
        return InvalidVolume(reason=f"Cannot add volume {volume_id} to group {group['id']} because {why}.")

    if volume is None or not request.access.allows("volume:get", {"project_id": volume["project_id"]}):
        raise refuse("volume cannot be found")
    if volume["project_id"] != group["project_id"]:
        raise refuse("it is of another project")
    if volume["group_id"]:
        raise refuse(f"it is already in group {volume['group_id']}")
    if volume["volume_type_id"] not in group["volume_types"]:
        raise refuse("its volume type is not supported by the group")
    if volume["status"] not in _JOINING:
        raise refuse(f"volume is in an invalid state: {volume['status']}")
    if volume["host"] != group["host"]:
        raise refuse("it is not in the group's pool")


# -- deletion


def group_delete(tx: Tx, request: Request, config: VolumeConfig, *, with_volumes: bool) -> None:
    """Have a group go, with its volumes where that was asked for."""
    context = request.context
    group = find_group(tx, request, lock=True)
    if group["status"] not in (states.AVAILABLE, states.ERROR, states.ERROR_DELETING):
        raise InvalidGroup(
            reason=f"Group status must be available or error, but current status is: {group['status']}."
        )
    s = volume_group_snapshots.c
    if tx.first(select(s.id).where(s.group_id == group["id"]).limit(1)) is not None:
        raise InvalidGroup(reason=f"Group {group['id']} has dependent group snapshots.")
    several = volumes_of_group(tx, group["id"])
    if several and not with_volumes:
        raise InvalidGroup(
            reason=f"Group {group['id']} still contains volumes. The delete-volumes flag is required to "
            "delete it."
        )
    _check_going(tx, group, several)
    unplaced = [one for one in several if not one["node"]]
    GROUP.change(tx, context, [Update(group, Values({"status": states.DELETING}))])
    tx.emit(event(context, "group.update", group["id"], group["project_id"]))
    for volume in several:
        if volume["node"]:
            volume_begin_delete(tx, context, volume, config)
    if unplaced:
        volumes_remove(tx, context, unplaced)
    groups_settle(tx, context, [group["id"]])


def _check_going(tx: Tx, group: Values, several: Sequence[Values]) -> None:
    ids = [one["id"] for one in several]
    for volume in several:
        if volume["attachments"]:
            raise InvalidGroup(reason=f"Volume in group {group['id']} is attached. Need to detach first.")
        if volume["status"] not in states.DELETABLE:
            raise InvalidGroup(
                reason=f"Volume {volume['id']} of the group is {volume['status']}: it can't be deleted."
            )
    of = volume_snapshots.c.volume_id
    if ids and tx.first(select(of).where(column_in(tx, of, ids)).limit(1)) is not None:
        raise InvalidGroup(reason="Volume in group still has dependent snapshots.")


def group_reset(tx: Tx, request: Request, status: str) -> None:
    """Say what state a group is in."""
    group = find_group(tx, request, lock=True)
    GROUP.change(tx, request.context, [Update(group, Values({"status": status}))])
    tx.emit(event(request.context, "group.update", group["id"], group["project_id"]))
