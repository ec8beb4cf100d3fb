"""Tables of the network's flavors, of service profiles, and of which belongs to which."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, String, Table

from pileus.store.schema import Id, Moment, Name, metadata

network_flavors = Table(
    "network_flavors",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Name, nullable=False),
    Column("description", Name, nullable=False),
    Column("service_type", String(36), nullable=False),
    Column("enabled", Boolean, nullable=False),
)

service_profiles = Table(
    "service_profiles",
    metadata,
    Column("id", Id, primary_key=True),
    Column("description", Name, nullable=False),
    Column("driver", String(1024), nullable=False),
    Column("metainfo", String(4096), nullable=False),
    Column("enabled", Boolean, nullable=False),
)

# Of several profiles of a flavor the one that was bound first provides.
flavor_profiles = Table(
    "flavor_service_profiles",
    metadata,
    Column("flavor_id", Id, ForeignKey("network_flavors.id", ondelete="CASCADE"), primary_key=True),
    Column("service_profile_id", Id, ForeignKey("service_profiles.id"), primary_key=True, index=True),
    Column("bound_at", Moment, nullable=False),
)
