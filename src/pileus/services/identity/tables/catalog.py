"""The service catalog: regions in a tree, services, and their endpoints."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, String, Table

from pileus.store.schema import Id, JsonText, LongText, Name, metadata

regions = Table(
    "regions",
    metadata,
    Column("id", Name, primary_key=True),
    Column("parent_region_id", Name, ForeignKey("regions.id"), index=True),
    Column("description", LongText, nullable=False),
    Column("extra", JsonText),
)

services = Table(
    "services",
    metadata,
    Column("id", Id, primary_key=True),
    Column("type", Name, nullable=False),
    Column("name", Name, nullable=False),
    Column("description", LongText, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("extra", JsonText),
)

endpoints = Table(
    "endpoints",
    metadata,
    Column("id", Id, primary_key=True),
    Column("service_id", Id, ForeignKey("services.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("interface", String(8), nullable=False),
    Column("region_id", Name, ForeignKey("regions.id"), index=True),
    Column("url", LongText, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("extra", JsonText),
)
