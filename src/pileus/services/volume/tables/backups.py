"""The table of backups.

``place`` says where the bytes lie: with the one node that has them, or at a place that several share.
``location`` and ``stored_as`` name them there; two rows may name the same bytes, since a record of a backup
can be imported under another id. ``node`` is the one that carries out what is to be done with them.
``volume_facts`` is what a volume has again that is made of the backup.
"""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, String, Table

from pileus.store.schema import Id, JsonText, LongText, Moment, Name, UserId, metadata

volume_backups = Table(
    "volume_backups",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False),
    Column("user_id", UserId, nullable=False),
    Column("name", Name),
    Column("description", Name),
    Column("status", String(32), nullable=False),
    Column("fail_reason", LongText),
    Column("size_gib", Integer, nullable=False),
    Column("object_count", Integer, nullable=False),
    Column("availability_zone", Name),
    Column("container", Name, nullable=False),
    Column("volume_id", Id, nullable=False, index=True),
    Column("snapshot_id", Id),
    Column("parent_id", Id, index=True),
    Column("restoring_to", Id),
    Column("place", String(300), nullable=False),
    Column("location", String(300), nullable=False),
    Column("stored_as", Id, nullable=False, index=True),
    Column("node", Name, nullable=False),
    Column("metadata", JsonText, nullable=False),
    Column("volume_facts", JsonText, nullable=False),
    Column("data_timestamp", Moment, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment),
    Index("ix_volume_backups_project", "project_id", "created_at"),
    Index("ix_volume_backups_node", "node"),
)
