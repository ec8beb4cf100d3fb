"""Tables of address groups and of the prefixes in them."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, String, Table

from pileus.resource.standard import standard_columns
from pileus.store.schema import Id, Name, metadata

address_groups = Table(
    "address_groups",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False, index=True),
    Column("name", Name, nullable=False),
    *standard_columns(),
)

# Prefixes in their normal form: the key keeps one from being in a group twice.
address_group_addresses = Table(
    "address_group_addresses",
    metadata,
    Column("address_group_id", Id, ForeignKey("address_groups.id", ondelete="CASCADE"), primary_key=True),
    Column("address", String(64), primary_key=True),
)
