"""The table of agents; an agent is known by its type and host."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, String, Table, UniqueConstraint

from pileus.store.schema import Id, JsonText, Moment, Name, metadata

agents = Table(
    "agents",
    metadata,
    Column("id", Id, primary_key=True),
    Column("agent_type", String(64), nullable=False),
    Column("host", Name, nullable=False),
    Column("binary", Name, nullable=False),
    Column("topic", Name, nullable=False),
    Column("admin_state_up", Boolean, nullable=False),
    Column("description", Name),
    Column("availability_zone", Name),
    Column("resources_synced", Boolean),
    Column("configurations", JsonText, nullable=False),
    # Out of the configurations, for the mesh: read for all hosts in each answer to a switch agent.
    Column("tunneling_ip", String(64)),
    Column("tunnel_types", JsonText, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("heartbeat_timestamp", Moment, nullable=False),
    UniqueConstraint("host", "agent_type"),
)
