"""The table of transfers. The key that its receiver has to know is kept as a salted hash."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, String, Table

from pileus.store.schema import Id, Moment, Name, metadata

volume_transfers = Table(
    "volume_transfers",
    metadata,
    Column("id", Id, primary_key=True),
    Column("volume_id", Id, ForeignKey("volumes.id", ondelete="CASCADE"), nullable=False, unique=True),
    Column("name", Name),
    Column("salt", String(32), nullable=False),
    Column("key_hash", String(64), nullable=False),
    Column("no_snapshots", Boolean, nullable=False),
    Column("source_project_id", Id, nullable=False, index=True),
    Column("created_at", Moment, nullable=False),
)
