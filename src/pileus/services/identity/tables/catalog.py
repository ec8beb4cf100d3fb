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

endpoint_groups = Table(
    "endpoint_groups",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Name, nullable=False),
    Column("description", LongText),
    Column("filters", JsonText, nullable=False),
)

project_endpoints = Table(
    "project_endpoints",
    metadata,
    Column("project_id", Id, ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    Column("endpoint_id", Id, ForeignKey("endpoints.id", ondelete="CASCADE"), primary_key=True, index=True),
)

project_endpoint_groups = Table(
    "project_endpoint_groups",
    metadata,
    Column("project_id", Id, ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    Column(
        "endpoint_group_id",
        Id,
        ForeignKey("endpoint_groups.id", ondelete="CASCADE"),
        primary_key=True,
        index=True,
    ),
)

policies = Table(
    "policies",
    metadata,
    Column("id", Id, primary_key=True),
    Column("type", Name, nullable=False),
    Column("blob", LongText, nullable=False),
    Column("extra", JsonText),
)

# ``place`` is ``endpoint/ID``, ``service/ID`` or ``service/ID/REGION``: each has one policy.
policy_associations = Table(
    "policy_associations",
    metadata,
    Column("place", String(310), primary_key=True),
    Column("policy_id", Id, ForeignKey("policies.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("endpoint_id", Id, ForeignKey("endpoints.id", ondelete="CASCADE"), index=True),
    Column("service_id", Id, ForeignKey("services.id", ondelete="CASCADE"), index=True),
    Column("region_id", Name, ForeignKey("regions.id", ondelete="CASCADE"), index=True),
)
