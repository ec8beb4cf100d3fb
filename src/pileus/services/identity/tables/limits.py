"""Unified limits: registered ones are defaults for everybody, limits are those of one project or domain.

``resource.quota`` reads them by these names, for the services whose quotas they are.
"""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Integer, Table, UniqueConstraint

from pileus.store.schema import Id, LongText, Name, metadata

registered_limits = Table(
    "registered_limits",
    metadata,
    Column("id", Id, primary_key=True),
    Column("service_id", Id, ForeignKey("services.id", ondelete="CASCADE"), nullable=False),
    Column("region_id", Name, ForeignKey("regions.id"), index=True),
    # The region's id again, or empty: NULLs are never equal, and there is one for no region too.
    Column("region_key", Name, nullable=False),
    Column("resource_name", Name, nullable=False),
    Column("default_limit", Integer, nullable=False),
    Column("description", LongText),
    UniqueConstraint("service_id", "region_key", "resource_name"),
)

limits = Table(
    "limits",
    metadata,
    Column("id", Id, primary_key=True),
    Column("registered_limit_id", Id, ForeignKey("registered_limits.id", ondelete="CASCADE"), nullable=False),
    # The project's id again, or the domain's.
    Column("owner_id", Id, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("project_id", Id),
    Column("domain_id", Id),
    Column("resource_limit", Integer, nullable=False),
    Column("description", LongText),
    UniqueConstraint("registered_limit_id", "owner_id"),
)
