"""Tables of the networks that DHCP agents serve, and of the ports that they serve them with."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, String, Table

from pileus.store.schema import Id, LongText, Moment, metadata

PENDING, ACTIVE, ERROR = "PENDING", "ACTIVE", "ERROR"

dhcp_bindings = Table(
    "dhcp_bindings",
    metadata,
    Column("network_id", Id, ForeignKey("networks.id", ondelete="CASCADE"), primary_key=True),
    Column("agent_id", Id, ForeignKey("agents.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("status", String(16), nullable=False),
    Column("reason", LongText),
    Column("bound_at", Moment, nullable=False),
)

# Which ports are DHCP's own. A port's device_owner says the same for those who read the API.
dhcp_ports = Table(
    "dhcp_ports",
    metadata,
    Column("port_id", Id, ForeignKey("ports.id", ondelete="CASCADE"), primary_key=True),
    Column("network_id", Id, nullable=False, index=True),
)
