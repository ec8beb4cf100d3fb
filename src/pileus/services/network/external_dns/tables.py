"""The table of records that were given to the server of names outside, or are to be."""

from __future__ import annotations

from sqlalchemy import Column, String, Table

from pileus.store.schema import Id, Moment, Name, metadata

# One row for each record of each thing: two ports may have one name. What is no longer wanted stays, as
# DELETING, until the server has heard of it; so the project stands here as well.
dns_records = Table(
    "dns_records",
    metadata,
    Column("name", Name, primary_key=True),
    Column("record_type", String(8), primary_key=True),
    Column("data", Name, primary_key=True),
    Column("resource_id", Id, primary_key=True, index=True),
    Column("resource_type", String(16), nullable=False),
    Column("project_id", Id, nullable=False),
    Column("status", String(16), nullable=False),
    Column("reason", Name),
    Column("updated_at", Moment, nullable=False),
)
