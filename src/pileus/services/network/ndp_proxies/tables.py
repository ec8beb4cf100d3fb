"""The table of NDP proxies."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, String, Table, UniqueConstraint

from pileus.resource.standard import standard_columns
from pileus.store.schema import Id, Name, metadata

ndp_proxies = Table(
    "ndp_proxies",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False, index=True),
    Column("name", Name, nullable=False),
    Column("router_id", Id, ForeignKey("routers.id"), nullable=False),
    Column("port_id", Id, ForeignKey("ports.id"), nullable=False, index=True),
    Column("ip_address", String(64), nullable=False),
    *standard_columns(),
    UniqueConstraint("router_id", "ip_address"),
)
