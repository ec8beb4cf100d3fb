"""Tables of trunks and of their subports."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Integer, String, Table, UniqueConstraint

from pileus.resource.standard import standard_columns
from pileus.store.schema import Id, Name, metadata

trunks = Table(
    "trunks",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False, index=True),
    Column("name", Name, nullable=False),
    Column("port_id", Id, ForeignKey("ports.id"), nullable=False, unique=True),
    Column("admin_state_up", Boolean, nullable=False),
    Column("status", String(16), nullable=False),
    *standard_columns(),
)

subports = Table(
    "subports",
    metadata,
    Column("port_id", Id, ForeignKey("ports.id"), primary_key=True),
    Column("trunk_id", Id, ForeignKey("trunks.id", ondelete="CASCADE"), nullable=False),
    Column("segmentation_type", String(32), nullable=False),
    Column("segmentation_id", Integer, nullable=False),
    UniqueConstraint("trunk_id", "segmentation_type", "segmentation_id"),
)
