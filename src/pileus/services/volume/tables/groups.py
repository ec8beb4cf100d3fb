"""Tables of groups of volumes, their types and snapshots. A group is in one pool, as all of its volumes."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, String, Table

from pileus.services.volume.tables.volumes import PoolHost
from pileus.store.schema import Id, JsonText, Moment, Name, UserId, metadata

volume_group_types = Table(
    "volume_group_types",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Name, nullable=False, unique=True),
    Column("description", Name),
    Column("is_public", Boolean, nullable=False),
    Column("group_specs", JsonText, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment),
)

volume_groups = Table(
    "volume_groups",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False),
    Column("user_id", UserId, nullable=False),
    Column("name", Name),
    Column("description", Name),
    Column("status", String(32), nullable=False),
    Column("availability_zone", Name),
    Column("group_type_id", Id, ForeignKey("volume_group_types.id"), nullable=False),
    Column("volume_types", JsonText, nullable=False),
    Column("group_snapshot_id", Id),
    Column("source_group_id", Id),
    Column("host", PoolHost),
    Column("node", Name),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment),
    Index("ix_volume_groups_project", "project_id", "created_at"),
    Index("ix_volume_groups_node", "node"),
)

volume_group_snapshots = Table(
    "volume_group_snapshots",
    metadata,
    Column("id", Id, primary_key=True),
    Column("group_id", Id, ForeignKey("volume_groups.id"), nullable=False, index=True),
    Column("project_id", Id, nullable=False),
    Column("user_id", UserId, nullable=False),
    Column("group_type_id", Id, nullable=False),
    Column("name", Name),
    Column("description", Name),
    Column("status", String(32), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment),
    Index("ix_volume_group_snapshots_project", "project_id", "created_at"),
)
