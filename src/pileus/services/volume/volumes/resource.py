"""The declaration of volumes. Source: Block Storage API reference, "Volumes"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource, request_time
from pileus.resource.types import Type
from pileus.resource.wordings.cinder import CINDER
from pileus.services.volume.api import ID, METADATA, TEXT
from pileus.services.volume.errors import VolumeNotFound
from pileus.services.volume.filters import like, moments, pairs
from pileus.services.volume.rules.states import ATTACHED
from pileus.services.volume.tables.types import volume_types
from pileus.services.volume.tables.volumes import volume_attachments, volumes
from pileus.store.column_in import column_in
from pileus.store.tx import Tx

HOST = "os-vol-host-attr:host"
PROJECT = "os-vol-tenant-attr:tenant_id"
MIGRATION = "os-vol-mig-status-attr:migstat"
NAME_ID = "os-vol-mig-status-attr:name_id"

_MOMENT = types.timestamp_plain
_MOMENT_OR_NULL = types.nullable(types.timestamp_plain)
_TRUTH = Type(
    "truth",
    types.boolean.parse,
    {"type": "string", "enum": ["true", "false"]},
    query=types.boolean.parse,
    show=lambda value: "true" if value else "false",
)
"""A truth that is shown as a word."""


def attachments_of(tx: Tx, ids: list[str]) -> Mapping[str, Any]:
    """Who has volumes open, in the form of their views."""
    c = volume_attachments.c
    rows = tx.rows(
        select(c.id, c.volume_id, c.server_id, c.host, c.mountpoint, c.attached_at)
        .where(column_in(tx, c.volume_id, ids), c.status == ATTACHED)
        .order_by(c.created_at, c.id)
    )
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row.volume_id, []).append(
            {
                "id": row.volume_id,
                "attachment_id": row.id,
                "volume_id": row.volume_id,
                "server_id": row.server_id,
                "host_name": row.host,
                "device": row.mountpoint,
                "attached_at": (
                    row.attached_at.isoformat(timespec="microseconds") if row.attached_at else None
                ),
            }
        )
    return found


VOLUME = Resource(
    "volume",
    table=volumes,
    source=volumes.outerjoin(volume_types, volume_types.c.id == volumes.c.volume_type_id),
    wording=CINDER,
    not_found=VolumeNotFound,
    rules={"get": "volume:get", "list": "volume:get_all", "update": "volume:update"},
    attributes=(
        Attribute("id", types.uuid, sort=True),
        Attribute("name", TEXT, update=True, filter=True, sort=True),
        Attribute("description", TEXT, update=True),
        Attribute("size", types.integer(), column=volumes.c.size_gib, filter=True, sort=True),
        Attribute("status", types.string(), filter=True, sort=True),
        Attribute("availability_zone", TEXT, filter=True, sort=True),
        Attribute("bootable", _TRUTH, filter=True, sort=True),
        Attribute("multiattach", types.boolean, filter=True),
        Attribute("encrypted", types.boolean, filter=True),
        Attribute("volume_type", TEXT, column=volume_types.c.name, sort=True),
        Attribute("volume_type_id", ID, versions=("3.63", ""), filter=True),
        Attribute("snapshot_id", ID, filter=True),
        Attribute("source_volid", ID, filter=True),
        Attribute("group_id", ID, versions=("3.13", ""), filter=True),
        Attribute("consistencygroup_id", ID, compute=lambda row: None),
        Attribute(
            "metadata",
            METADATA,
            update=True,
            filter=True,
            condition=pairs(volumes.c.metadata),
        ),
        Attribute(
            "volume_image_metadata",
            types.nullable(METADATA),
            column=volumes.c.image_metadata,
            omitted=True,
        ),
        Attribute("user_id", types.string(64), filter=True),
        Attribute("replication_status", TEXT, compute=lambda row: None),
        Attribute("migration_status", TEXT, filter=True),
        Attribute("attachments", types.list_of(types.anything), loader=attachments_of, empty=()),
        Attribute(
            "created_at",
            _MOMENT,
            default=request_time,
            sort=True,
            filter=True,
            condition=moments(volumes.c.created_at),
        ),
        Attribute(
            "updated_at",
            _MOMENT_OR_NULL,
            sort=True,
            filter=True,
            condition=moments(volumes.c.updated_at),
        ),
        Attribute("project_id", types.string(36), visible=False, filter=True, sort=True),
        Attribute(PROJECT, types.string(36), column=volumes.c.project_id),
        Attribute(HOST, TEXT, column=volumes.c.host),
        Attribute(MIGRATION, TEXT, column=volumes.c.migration_status),
        Attribute(NAME_ID, ID, compute=lambda row: None),
        Attribute("provider_id", TEXT, versions=("3.21", ""), compute=lambda row: None),
        Attribute("service_uuid", ID, versions=("3.48", ""), compute=lambda row: None),
        Attribute("shared_targets", types.boolean, versions=("3.48", ""), compute=lambda row: False),
        Attribute("cluster_name", TEXT, versions=("3.61", ""), compute=lambda row: None),
        Attribute("encryption_key_id", ID, versions=("3.64", ""), omitted=True),
        Attribute("consumes_quota", types.boolean, versions=("3.65", ""), filter=True),
        Attribute("read_only", types.nullable(types.boolean)),
        # not in views
        Attribute("host", TEXT, visible=False, filter=True, sort=True),
        Attribute("node", TEXT, visible=False),
        Attribute("pool", TEXT, visible=False),
        Attribute("made", types.boolean, visible=False),
        Attribute("previous_status", TEXT, visible=False),
        Attribute("wanted_size_gib", types.nullable(types.integer()), visible=False),
        # filters that compare no column
        Attribute("name~", TEXT, visible=False, view_only=True, filter=True, condition=like(volumes.c.name)),
        Attribute(
            "description~",
            TEXT,
            visible=False,
            view_only=True,
            filter=True,
            condition=like(volumes.c.description),
        ),
        Attribute(
            "image_metadata",
            METADATA,
            column=volumes.c.image_metadata,
            visible=False,
            view_only=True,
            filter=True,
            condition=pairs(volumes.c.image_metadata),
        ),
    ),
    default_sort=(("created_at", True),),
    description="A disk that outlives the servers that it is attached to.",
)
