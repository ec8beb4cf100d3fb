"""The table of port forwardings."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Integer, String, Table, UniqueConstraint

from pileus.store.schema import Id, Name, metadata

# The keys are named here, since the names of all their columns are too long for a constraint. Ranges that
# overlap without being the same are refused by the unit, which holds the floating IP's row.
port_forwardings = Table(
    "port_forwardings",
    metadata,
    Column("id", Id, primary_key=True),
    Column("floatingip_id", Id, ForeignKey("floating_ips.id"), nullable=False),
    Column("internal_port_id", Id, ForeignKey("ports.id"), nullable=False),
    Column("internal_ip_address", String(64), nullable=False),
    Column("protocol", String(8), nullable=False),
    Column("internal_port", Integer),
    Column("internal_port_range", String(16), nullable=False),
    Column("external_port", Integer),
    Column("external_port_range", String(16), nullable=False),
    Column("description", Name, nullable=False),
    UniqueConstraint("floatingip_id", "protocol", "external_port_range", name="uq_port_forwardings_external"),
    UniqueConstraint(
        "internal_port_id",
        "internal_ip_address",
        "protocol",
        "internal_port_range",
        name="uq_port_forwardings_internal",
    ),
)
