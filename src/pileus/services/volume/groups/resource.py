"""The declarations of groups and of their snapshots. Source: Block Storage API reference, "Generic volume
groups", "Group snapshots"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.wordings.cinder import CINDER
from pileus.services.volume.api import ID, TEXT
from pileus.services.volume.errors import GroupNotFound
from pileus.services.volume.filters import like
from pileus.services.volume.tables.groups import volume_group_snapshots, volume_groups
from pileus.services.volume.tables.volumes import volumes
from pileus.store.column_in import column_in
from pileus.store.tx import Tx

_g, _s = volume_groups.c, volume_group_snapshots.c
_MOMENT = types.timestamp_plain
_MOMENT_OR_NULL = types.nullable(types.timestamp_plain)


class GroupSnapshotNotFound(NotFound):
    message = "GroupSnapshot {id} could not be found."


def _volumes(tx: Tx, ids: list[str]) -> Mapping[str, Any]:
    """The volumes of groups."""
    c = volumes.c
    found: dict[str, list[str]] = {}
    for row in tx.rows(select(c.id, c.group_id).where(column_in(tx, c.group_id, ids)).order_by(c.id)):
        found.setdefault(row.group_id, []).append(row.id)
    return found


GROUP = Resource(
    "group",
    table=volume_groups,
    wording=CINDER,
    not_found=GroupNotFound,
    rules={"get": "group:get", "list": "group:get_all", "update": "group:update"},
    attributes=(
        Attribute("id", types.uuid, sort=True),
        Attribute("name", TEXT, update=True, filter=True, sort=True),
        Attribute("description", TEXT, update=True),
        Attribute("status", types.string(), filter=True, sort=True),
        Attribute("availability_zone", TEXT, sort=True, filter=True),
        Attribute("group_type", types.uuid, column=_g.group_type_id, filter=True),
        Attribute("volume_types", types.list_of(types.uuid)),
        Attribute("created_at", _MOMENT, sort=True),
        Attribute("group_snapshot_id", ID, versions=("3.14", ""), filter=True),
        Attribute("source_group_id", ID, versions=("3.14", ""), filter=True),
        Attribute("volumes", types.list_of(types.uuid), versions=("3.25", ""), loader=_volumes, empty=()),
        Attribute("replication_status", TEXT, versions=("3.38", ""), compute=lambda row: "disabled"),
        Attribute("project_id", types.string(36), filter=True, sort=True, versions=("3.58", "")),
        Attribute("user_id", types.string(64), visible=False),
        Attribute("updated_at", _MOMENT_OR_NULL, visible=False, sort=True),
        Attribute("host", TEXT, visible=False, filter=True),
        Attribute("node", TEXT, visible=False),
        Attribute("name~", TEXT, visible=False, view_only=True, filter=True, condition=like(_g.name)),
    ),
    default_sort=(("created_at", True),),
    description="Volumes that belong together.",
)

GROUP_SNAPSHOT = Resource(
    "group_snapshot",
    collection="group_snapshots",
    table=volume_group_snapshots,
    wording=CINDER,
    not_found=GroupSnapshotNotFound,
    rules={"get": "group:get_group_snapshot", "list": "group:get_all_group_snapshots"},
    attributes=(
        Attribute("id", types.uuid, sort=True),
        Attribute("name", TEXT, filter=True, sort=True),
        Attribute("description", TEXT),
        Attribute("group_id", types.uuid, filter=True, sort=True),
        Attribute("group_type_id", types.uuid, filter=True),
        Attribute("status", types.string(), filter=True, sort=True),
        Attribute("created_at", _MOMENT, sort=True),
        Attribute("project_id", types.string(36), filter=True, versions=("3.58", "")),
        Attribute("user_id", types.string(64), visible=False),
        Attribute("updated_at", _MOMENT_OR_NULL, visible=False, sort=True),
        Attribute("name~", TEXT, visible=False, view_only=True, filter=True, condition=like(_s.name)),
    ),
    default_sort=(("created_at", True),),
    description="All volumes of a group as they were at one moment.",
)
