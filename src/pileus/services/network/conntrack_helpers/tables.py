"""The table of conntrack helpers."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Integer, String, Table, UniqueConstraint

from pileus.store.schema import Id, metadata

conntrack_helpers = Table(
    "conntrack_helpers",
    metadata,
    Column("id", Id, primary_key=True),
    Column("router_id", Id, ForeignKey("routers.id", ondelete="CASCADE"), nullable=False),
    Column("protocol", String(8), nullable=False),
    Column("port", Integer, nullable=False),
    Column("helper", String(64), nullable=False),
    UniqueConstraint("router_id", "protocol", "port", "helper", name="uq_conntrack_helpers_router_id"),
)
