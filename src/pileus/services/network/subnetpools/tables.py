"""Tables of subnet pools and of address scopes."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Integer, Table

from pileus.resource.standard import standard_columns
from pileus.store.schema import Id, JsonText, Name, metadata

address_scopes = Table(
    "address_scopes",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False, index=True),
    Column("name", Name, nullable=False),
    Column("ip_version", Integer, nullable=False),
    Column("shared", Boolean, nullable=False),
)

subnetpools = Table(
    "subnetpools",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False, index=True),
    Column("name", Name, nullable=False),
    Column("ip_version", Integer, nullable=False),
    Column("prefixes", JsonText, nullable=False),
    Column("default_prefixlen", Integer, nullable=False),
    Column("min_prefixlen", Integer, nullable=False),
    Column("max_prefixlen", Integer, nullable=False),
    Column("default_quota", Integer),
    Column("is_default", Boolean, nullable=False),
    Column("shared", Boolean, nullable=False),
    Column("address_scope_id", Id, ForeignKey("address_scopes.id"), index=True),
    *standard_columns(),
)
