"""Tables of QoS policies and of their bandwidth limits.

Seed 004's ``ovsqos`` is a policy with one egress limit: both faces read and write these rows.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Integer, String, Table, UniqueConstraint

from pileus.store.schema import Id, Moment, Name, metadata

policies = Table(
    "qos_policies",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False, index=True),
    Column("name", Name, nullable=False),
    Column("description", Name, nullable=False),
    Column("shared", Boolean, nullable=False),
    Column("is_default", Boolean, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("revision_number", Integer, nullable=False),
)

bandwidth_limits = Table(
    "qos_bandwidth_limits",
    metadata,
    Column("id", Id, primary_key=True),
    Column("qos_policy_id", Id, ForeignKey("qos_policies.id", ondelete="CASCADE"), nullable=False),
    Column("direction", String(8), nullable=False),
    Column("max_kbps", Integer, nullable=False),
    Column("max_burst_kbps", Integer, nullable=False),
    UniqueConstraint("qos_policy_id", "direction"),
)
