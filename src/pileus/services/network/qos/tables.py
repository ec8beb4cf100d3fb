"""Tables of QoS policies, of their rules, and of the router gateways that have a policy of their own.

Seed 004's ``ovsqos`` is a policy with one bandwidth limit: both faces read and write these rows.
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

# Rules of all kinds: ``amount`` is kilobits or thousands of packets a second, or a DSCP mark, as ``kinds.py``
# says of the type. A mark has no direction (""), and what has no burst has 0. The key allows one rule of a
# kind in each direction.
rules = Table(
    "qos_rules",
    metadata,
    Column("id", Id, primary_key=True),
    Column("qos_policy_id", Id, ForeignKey("qos_policies.id", ondelete="CASCADE"), nullable=False),
    Column("rule_type", String(32), nullable=False),
    Column("direction", String(8), nullable=False),
    Column("amount", Integer, nullable=False),
    Column("burst", Integer, nullable=False),
    UniqueConstraint("qos_policy_id", "rule_type", "direction"),
)

router_policies = Table(
    "qos_router_policies",
    metadata,
    Column("router_id", Id, ForeignKey("routers.id", ondelete="CASCADE"), primary_key=True),
    Column("qos_policy_id", Id, ForeignKey("qos_policies.id"), nullable=False, index=True),
)
