"""The table of logs."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, String, Table

from pileus.resource.standard import standard_columns
from pileus.store.schema import Id, Name, metadata

# A log goes with the group or the port that it is about.
logs = Table(
    "logs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False, index=True),
    Column("name", Name, nullable=False),
    Column("resource_type", String(36), nullable=False),
    Column("resource_id", Id, ForeignKey("security_groups.id", ondelete="CASCADE"), index=True),
    Column("target_id", Id, ForeignKey("ports.id", ondelete="CASCADE"), index=True),
    Column("event", String(8), nullable=False),
    Column("enabled", Boolean, nullable=False),
    *standard_columns(),
)
