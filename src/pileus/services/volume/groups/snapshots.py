"""Units of work of group snapshots: all volumes of a group are kept at one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from pileus.core.context import Context
from pileus.core.errors import Invalid
from pileus.core.ids import new_id
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.resource.rows import fetch
from pileus.services.volume.api import enforce
from pileus.services.volume.config import VolumeConfig
from pileus.services.volume.errors import GroupNotFound
from pileus.services.volume.events import told_to
from pileus.services.volume.groups.resource import GROUP, GROUP_SNAPSHOT, GroupSnapshotNotFound
from pileus.services.volume.groups.work import InvalidGroup, must_be_available, volumes_of_group
from pileus.services.volume.messages import SNAPSHOT as ABOUT
from pileus.services.volume.messages import message_create
from pileus.services.volume.operations import Ended, begin
from pileus.services.volume.quotas.counting import spend
from pileus.services.volume.rules import states
from pileus.services.volume.snapshots.resource import SNAPSHOT
from pileus.services.volume.snapshots.work import snapshot_begin_delete, snapshot_row
from pileus.services.volume.tables.groups import volume_group_snapshots
from pileus.services.volume.tables.volumes import volume_snapshots
from pileus.services.volume.volumes.belonging import group_snapshots_settle
from pileus.store.column_in import column_in
from pileus.store.tx import Tx
from pileus.web.request import Request

MAKE_ALL = "volume.snapshot_group"


class InvalidGroupSnapshot(Invalid):
    message = "Invalid GroupSnapshot: {reason}"


def find_group_snapshot(tx: Tx, request: Request, *, lock: bool = False) -> Values:
    """The group snapshot that the path names, if the caller may see it and the route's rule allows this."""
    key = request.path["id"]
    found = fetch(tx, GROUP_SNAPSHOT, [key], lock=lock)
    target = {"project_id": found[0]["project_id"]} if found else None
    if not found or not request.access.allows("group:get_group_snapshot", target):
        raise GroupSnapshotNotFound(id=key)
    enforce(request, target)
    return found[0]


def group_snapshot_create(tx: Tx, request: Request, asked: Mapping[str, Any], config: VolumeConfig) -> Values:
    """Have all volumes of a group kept as they are at one moment."""
    context = request.context
    found = fetch(tx, GROUP, [asked["group_id"]], lock=True)
    target = {"project_id": found[0]["project_id"]} if found else None
    if not found or not request.access.allows("group:get", target):
        raise GroupNotFound(id=asked["group_id"])
    enforce(request, target)
    group = found[0]
    must_be_available(group)
    several = volumes_of_group(tx, group["id"])
    if not several:
        raise InvalidGroup(reason="Group is empty. No group snapshot will be created.")
    for volume in several:
        if volume["status"] not in (states.AVAILABLE, states.IN_USE):
            raise InvalidGroup(reason=f"Volume {volume['id']} of the group is {volume['status']}.")
    for kind in sorted({one["volume_type_id"] for one in several}):
        mine = [one["size"] for one in several if one["volume_type_id"] == kind]
        spend(tx, group["project_id"], {"snapshots": len(mine), "gigabytes": sum(mine)}, kind)
    names = {"name": asked.get("name"), "description": asked.get("description")}
    row = {
        "id": (key := new_id()),
        "group_id": group["id"],
        "project_id": group["project_id"],
        "user_id": context.user_id or "",
        "group_type_id": group["group_type"],
        **names,
        "status": states.CREATING,
        "created_at": context.now,
        "updated_at": None,
    }
    tx.insert(volume_group_snapshots, [row])
    rows = [snapshot_row(context, one, **names, group_snapshot_id=key) for one in several]
    tx.insert(volume_snapshots, rows)
    members = [
        [volume["id"], volume["pool"], snapshot["id"]] for volume, snapshot in zip(several, rows, strict=True)
    ]
    begin(
        *(tx, context, MAKE_ALL, key, group["project_id"], config.operation_timeout_s),
        group_id=group["id"],
        members=members,
    )
    told = told_to([group["node"]])
    tx.emit(event(context, "group_snapshot.create", key, group["project_id"], told, name=row["name"]))
    return fetch(tx, GROUP_SNAPSHOT, [key])[0]


def group_snapshot_delete(tx: Tx, request: Request, config: VolumeConfig) -> None:
    """Have a group snapshot go, with its snapshots."""
    context = request.context
    snapshot = find_group_snapshot(tx, request, lock=True)
    if snapshot["status"] not in (states.AVAILABLE, states.ERROR, states.ERROR_DELETING):
        raise InvalidGroupSnapshot(
            reason="GroupSnapshot status must be available or error, and no Group can be currently using it "
            f"as source for its creation. Its status is {snapshot['status']}."
        )
    mine = _snapshots(tx, snapshot["id"])
    if any(one["status"] not in states.SNAPSHOT_DELETABLE for one in mine):
        raise InvalidGroupSnapshot(reason="A snapshot of it is busy.")
    GROUP_SNAPSHOT.change(tx, context, [Update(snapshot, Values({"status": states.DELETING}))])
    tx.emit(event(context, "group_snapshot.update", snapshot["id"], snapshot["project_id"]))
    for one in mine:  # few: the volumes of one group
        snapshot_begin_delete(tx, context, one, config)
    group_snapshots_settle(tx, context, [snapshot["id"]])


def _snapshots(tx: Tx, group_snapshot_id: str) -> list[Values]:
    c = volume_snapshots.c
    ids = [row.id for row in tx.rows(select(c.id).where(c.group_snapshot_id == group_snapshot_id))]
    return fetch(tx, SNAPSHOT, sorted(ids), lock=True) if ids else []


def group_snapshot_reset(tx: Tx, request: Request, status: str) -> None:
    """Say what state a group snapshot is in."""
    found = find_group_snapshot(tx, request, lock=True)
    GROUP_SNAPSHOT.change(tx, request.context, [Update(found, Values({"status": status}))])
    tx.emit(event(request.context, "group_snapshot.update", found["id"], found["project_id"]))


def finish_group(tx: Tx, context: Context, several: Sequence[Ended], *, config: VolumeConfig) -> None:
    """Snapshots of groups are there, all of them, or none."""
    ended = {one.operation.resource_id: one for one in several}
    groups = fetch(tx, GROUP_SNAPSHOT, sorted(ended), lock=True)
    updates = [
        Update(one, Values({"status": _status(ended[one["id"]])}))
        for one in groups
        if one["status"] == states.CREATING
    ]
    GROUP_SNAPSHOT.change(tx, context, updates)
    c = volume_snapshots.c
    ids = [row.id for row in tx.rows(select(c.id).where(column_in(tx, c.group_snapshot_id, sorted(ended))))]
    mine = fetch(tx, SNAPSHOT, sorted(ids), lock=True) if ids else []
    changes = []
    for snapshot in mine:
        one = ended[snapshot["group_snapshot_id"]]
        made: dict[str, Any] = {"made": True, "progress": "100%"} if one.error is None else {}
        if snapshot["status"] == states.CREATING:
            made["status"] = _status(one)
        changes.append(Update(snapshot, Values(made)))
    SNAPSHOT.change(tx, context, changes)
    failed = [
        (one["id"], one["project_id"], error)
        for one in mine
        if (error := ended[one["group_snapshot_id"]].error) is not None
    ]
    message_create(tx, context, config, failed, "create snapshot", about=ABOUT)
    tx.emit_many([event(context, "group_snapshot.update", one["id"], one["project_id"]) for one in groups])
    tx.emit_many([event(context, "snapshot.update", one["id"], one["project_id"]) for one in mine])


def _status(one: Ended) -> str:
    return states.AVAILABLE if one.error is None else states.ERROR
