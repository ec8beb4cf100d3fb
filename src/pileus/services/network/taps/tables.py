"""The tables of tap services, tap flows and tap mirrors."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Integer, String, Table

from pileus.store.schema import Id, JsonText, Name, metadata

# All of them go with the ports that they are about, flows also with their service.
tap_services = Table(
    "tap_services",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False, index=True),
    Column("name", Name, nullable=False),
    Column("description", Name, nullable=False),
    Column("port_id", Id, ForeignKey("ports.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("status", String(16), nullable=False),
    # What tells its packets from others' in the tunnels between hosts.
    Column("number", Integer, nullable=False, unique=True),
)

tap_flows = Table(
    "tap_flows",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False, index=True),
    Column("name", Name, nullable=False),
    Column("description", Name, nullable=False),
    Column(
        "tap_service_id", Id, ForeignKey("tap_services.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    Column("source_port", Id, ForeignKey("ports.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("direction", String(4), nullable=False),
    Column("vlan_filter", String(1024)),
    Column("status", String(16), nullable=False),
)

tap_mirrors = Table(
    "tap_mirrors",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False, index=True),
    Column("name", Name, nullable=False),
    Column("description", Name, nullable=False),
    Column("port_id", Id, ForeignKey("ports.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("directions", JsonText, nullable=False),
    Column("remote_ip", String(64), nullable=False),
    Column("mirror_type", String(16), nullable=False),
)
