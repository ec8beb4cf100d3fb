"""The table of ranges that administrators have made; those of the settings have no rows."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, String, Table

from pileus.resource.standard import standard_columns
from pileus.store.schema import Id, Name, metadata

network_segment_ranges = Table(
    "network_segment_ranges",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id),
    Column("name", Name, nullable=False),
    Column("shared", Boolean, nullable=False),
    Column("network_type", String(16), nullable=False),
    Column("physical_network", String(64), nullable=False),
    Column("minimum", BigInteger, nullable=False),
    Column("maximum", BigInteger, nullable=False),
    *standard_columns(),
)
