"""The declaration of snapshots. Source: Block Storage API reference, "Volume snapshots"."""

from __future__ import annotations

from sqlalchemy import select

from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.wordings.cinder import CINDER
from pileus.services.volume.api import ID, METADATA, TEXT
from pileus.services.volume.errors import SnapshotNotFound
from pileus.services.volume.filters import like, moments, pairs
from pileus.services.volume.tables.volumes import volume_snapshots, volumes

PROGRESS = "os-extended-snapshot-attributes:progress"
PROJECT = "os-extended-snapshot-attributes:project_id"

_c = volume_snapshots.c
_MOMENT = types.timestamp_plain
_MOMENT_OR_NULL = types.nullable(types.timestamp_plain)

SNAPSHOT = Resource(
    "snapshot",
    table=volume_snapshots,
    wording=CINDER,
    not_found=SnapshotNotFound,
    rules={
        "get": "volume:get_snapshot",
        "list": "volume:get_all_snapshots",
        "update": "volume:update_snapshot",
        "delete": "volume:delete_snapshot",
    },
    attributes=(
        Attribute("id", types.uuid, sort=True, filter=True),
        Attribute("name", TEXT, update=True, filter=True, sort=True),
        Attribute("description", TEXT, update=True),
        Attribute("volume_id", types.uuid, filter=True, sort=True),
        Attribute("size", types.integer(), column=_c.size_gib, sort=True),
        Attribute("status", types.string(), filter=True, sort=True),
        Attribute("metadata", METADATA, update=True, filter=True, condition=pairs(_c.metadata)),
        Attribute("created_at", _MOMENT, sort=True, filter=True, condition=moments(_c.created_at)),
        Attribute("updated_at", _MOMENT_OR_NULL, sort=True, filter=True, condition=moments(_c.updated_at)),
        Attribute(PROGRESS, TEXT, column=_c.progress),
        Attribute(PROJECT, types.string(36), column=_c.project_id),
        Attribute("group_snapshot_id", ID, versions=("3.14", "")),
        Attribute("user_id", types.string(64), versions=("3.41", "")),
        Attribute("consumes_quota", types.boolean, versions=("3.65", ""), filter=True),
        Attribute("project_id", types.string(36), visible=False, filter=True),
        Attribute("progress", TEXT, visible=False),
        Attribute("made", types.boolean, visible=False),
        Attribute("name~", TEXT, visible=False, view_only=True, filter=True, condition=like(_c.name)),
        Attribute(
            "availability_zone",
            TEXT,
            visible=False,
            view_only=True,
            filter=True,
            condition=lambda texts: _c.volume_id.in_(
                select(volumes.c.id).where(volumes.c.availability_zone == texts[-1])
            ),
        ),
    ),
    default_sort=(("created_at", True),),
    description="A volume as it was at one moment.",
)
