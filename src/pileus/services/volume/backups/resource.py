"""The declaration of backups. Source: Block Storage API reference, "Backups"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.wordings.cinder import CINDER
from pileus.services.volume.api import ID, METADATA, TEXT
from pileus.services.volume.errors import BackupNotFound
from pileus.services.volume.filters import like
from pileus.services.volume.tables.backups import volume_backups
from pileus.store.column_in import column_in
from pileus.store.tx import Tx

PROJECT = "os-backup-project-attr:project_id"
USER = "user_id"

_c = volume_backups.c
_MOMENT = types.timestamp_plain


def _has_dependents(tx: Tx, ids: list[str]) -> Mapping[str, Any]:
    """Which backups others are the sequels of."""
    rows = tx.rows(select(_c.parent_id).where(column_in(tx, _c.parent_id, ids)).distinct())
    return {row.parent_id: True for row in rows}


BACKUP = Resource(
    "backup",
    table=volume_backups,
    wording=CINDER,
    not_found=BackupNotFound,
    rules={"get": "backup:get", "list": "backup:get_all", "update": "backup:update"},
    attributes=(
        Attribute("id", types.uuid, sort=True, filter=True),
        Attribute("name", TEXT, update=True, filter=True, sort=True),
        Attribute("description", TEXT, update=True),
        Attribute("status", types.string(), filter=True, sort=True),
        Attribute("fail_reason", types.nullable(types.string(None))),
        Attribute("size", types.integer(), column=_c.size_gib, filter=True, sort=True),
        Attribute("object_count", types.integer()),
        Attribute("availability_zone", TEXT, sort=True),
        Attribute("container", TEXT, sort=True),
        Attribute("volume_id", types.uuid, filter=True, sort=True),
        Attribute("snapshot_id", ID, filter=True),
        Attribute("is_incremental", types.boolean, column=_c.parent_id.is_not(None)),
        Attribute("has_dependent_backups", types.boolean, loader=_has_dependents, empty=False),
        Attribute("data_timestamp", _MOMENT, sort=True),
        Attribute("created_at", _MOMENT, sort=True),
        Attribute("updated_at", types.nullable(_MOMENT), sort=True),
        Attribute(PROJECT, types.string(36), column=_c.project_id, versions=("3.18", "")),
        Attribute("metadata", METADATA, update=True, versions=("3.43", "")),
        Attribute(USER, types.string(64), versions=("3.56", "")),
        # not in views
        Attribute("project_id", types.string(36), visible=False, filter=True),
        Attribute("parent_id", ID, visible=False),
        Attribute("restoring_to", ID, visible=False),
        Attribute("place", types.string(300), visible=False),
        Attribute("location", types.string(300), visible=False),
        Attribute("stored_as", types.uuid, visible=False),
        Attribute("node", types.string(), visible=False),
        Attribute("volume_facts", types.anything, visible=False),
        Attribute("name~", TEXT, visible=False, view_only=True, filter=True, condition=like(_c.name)),
    ),
    default_sort=(("created_at", True),),
    description="A copy of a volume that outlives it.",
)
