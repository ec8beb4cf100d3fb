"""The table of inactive bindings; the active one is in the port's own row."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, String, Table

from pileus.store.schema import Id, JsonText, Name, metadata

port_bindings = Table(
    "port_bindings",
    metadata,
    Column("port_id", Id, ForeignKey("ports.id", ondelete="CASCADE"), primary_key=True),
    Column("host", Name, primary_key=True, index=True),
    Column("vnic_type", String(64), nullable=False),
    Column("profile", JsonText, nullable=False),
    Column("vif_type", String(64), nullable=False),
    Column("vif_details", JsonText, nullable=False),
)
