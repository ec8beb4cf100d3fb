"""Tables of routers, of their ports, and of the agents that host them."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, String, Table

from pileus.resource.standard import standard_columns
from pileus.store.schema import Id, JsonText, Moment, Name, metadata

routers = Table(
    "routers",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False, index=True),
    Column("name", Name, nullable=False),
    Column("admin_state_up", Boolean, nullable=False),
    Column("status", String(16), nullable=False),
    Column("enable_snat", Boolean, nullable=False),
    Column("routes", JsonText, nullable=False),
    Column("availability_zone_hints", JsonText, nullable=False),
    *standard_columns(),
)

# Which ports are a router's. A port's device_id says the same and is anybody's to write; this is not.
# Both deletes are refused while the row is there but the port's, which takes it along.
router_ports = Table(
    "router_ports",
    metadata,
    Column("port_id", Id, ForeignKey("ports.id", ondelete="CASCADE"), primary_key=True),
    Column("router_id", Id, ForeignKey("routers.id"), nullable=False, index=True),
    Column("port_type", String(64), nullable=False),
)

# The key keeps a router from being hosted twice, also when two agents appear at once.
router_bindings = Table(
    "router_bindings",
    metadata,
    Column("router_id", Id, ForeignKey("routers.id", ondelete="CASCADE"), primary_key=True),
    Column("agent_id", Id, ForeignKey("agents.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("bound_at", Moment, nullable=False),
)
