"""The table of what was made for which project; a row goes with its network, and with its router."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Table

from pileus.store.schema import Id, metadata

auto_allocated_topologies = Table(
    "auto_allocated_topologies",
    metadata,
    Column("project_id", Id, primary_key=True),
    Column("network_id", Id, ForeignKey("networks.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("router_id", Id, ForeignKey("routers.id", ondelete="CASCADE"), nullable=False, index=True),
)
