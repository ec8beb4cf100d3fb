"""Tables of volumes, their snapshots and their attachments.

``host`` is the pool in Cinder's form (``NODE@POOL#POOL``), beside ``node`` and ``pool`` themselves: one
that has not been placed has none of them. ``wanted_size_gib`` is what a volume that is growing will have,
and counts already.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table

from pileus.store.schema import Id, JsonText, LongText, Moment, Name, UserId, metadata

PoolHost = String(400)
"""``NODE@POOL#POOL``: names of nodes may have 255 letters, those of pools 64."""

volumes = Table(
    "volumes",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False),
    Column("user_id", UserId, nullable=False),
    Column("name", Name),
    Column("description", Name),
    Column("size_gib", Integer, nullable=False),
    Column("wanted_size_gib", Integer),
    Column("status", String(32), nullable=False),
    Column("previous_status", String(32)),
    Column("migration_status", String(32)),
    Column("availability_zone", Name),
    Column("volume_type_id", Id, ForeignKey("volume_types.id")),
    Column("snapshot_id", Id),
    Column("source_volid", Id),
    Column("group_id", Id),
    Column("bootable", Boolean, nullable=False),
    Column("multiattach", Boolean, nullable=False),
    Column("read_only", Boolean),
    Column("encrypted", Boolean, nullable=False),
    Column("encryption_key_id", Id),
    Column("metadata", JsonText, nullable=False),
    Column("image_metadata", JsonText),
    Column("host", PoolHost),
    Column("node", Name),
    Column("pool", String(64)),
    Column("consumes_quota", Boolean, nullable=False),
    Column("made", Boolean, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment),
    Index("ix_volumes_project", "project_id", "created_at"),
    Index("ix_volumes_place", "node", "pool"),
)

volume_snapshots = Table(
    "volume_snapshots",
    metadata,
    Column("id", Id, primary_key=True),
    Column("volume_id", Id, ForeignKey("volumes.id"), nullable=False, index=True),
    Column("project_id", Id, nullable=False),
    Column("user_id", UserId, nullable=False),
    Column("name", Name),
    Column("description", Name),
    Column("size_gib", Integer, nullable=False),
    Column("status", String(32), nullable=False),
    Column("progress", Name),
    Column("metadata", JsonText, nullable=False),
    Column("group_snapshot_id", Id),
    Column("consumes_quota", Boolean, nullable=False),
    Column("made", Boolean, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment),
    Index("ix_volume_snapshots_project", "project_id", "created_at"),
)

# ``connection`` is what the storage agent has reported for the connector, ``error`` why it could not.
volume_attachments = Table(
    "volume_attachments",
    metadata,
    Column("id", Id, primary_key=True),
    Column("volume_id", Id, ForeignKey("volumes.id"), nullable=False, index=True),
    Column("project_id", Id, nullable=False),
    Column("server_id", Id),
    Column("host", Name),
    Column("mountpoint", Name),
    Column("mode", String(4), nullable=False),
    Column("status", String(32), nullable=False),
    Column("connector", JsonText),
    Column("connection", JsonText),
    Column("error", LongText),
    Column("attached_at", Moment),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment),
    Index("ix_volume_attachments_project", "project_id", "created_at"),
)
