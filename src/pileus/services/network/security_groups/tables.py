"""Tables of security groups, their rules and their members."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Integer, String, Table, UniqueConstraint

from pileus.store.schema import Id, Moment, Name, metadata

security_groups = Table(
    "security_groups",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False, index=True),
    Column("name", Name, nullable=False),
    Column("description", Name, nullable=False),
    Column("stateful", Boolean, nullable=False),
    Column("shared", Boolean, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("revision_number", Integer, nullable=False),
)

# The key that keeps a project from getting two default groups from two first requests.
default_security_groups = Table(
    "default_security_groups",
    metadata,
    Column("project_id", Id, primary_key=True),
    Column(
        "security_group_id",
        Id,
        ForeignKey("security_groups.id", ondelete="CASCADE"),
        nullable=False,
        unique=True,
    ),
)

# ``digest`` is equal for rules that match the same packets: the key refuses a second one.
security_group_rules = Table(
    "security_group_rules",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False, index=True),
    Column("security_group_id", Id, ForeignKey("security_groups.id", ondelete="CASCADE"), nullable=False),
    Column("direction", String(8), nullable=False),
    Column("ethertype", String(8), nullable=False),
    Column("protocol", String(40)),
    Column("port_range_min", Integer),
    Column("port_range_max", Integer),
    Column("remote_ip_prefix", String(64)),
    Column("normalized_cidr", String(64)),
    Column("remote_group_id", Id, ForeignKey("security_groups.id", ondelete="CASCADE"), index=True),
    Column("remote_address_group_id", Id, ForeignKey("address_groups.id"), index=True),
    Column("description", Name, nullable=False),
    Column("digest", String(40), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("revision_number", Integer, nullable=False),
    UniqueConstraint("security_group_id", "digest"),
)

security_group_ports = Table(
    "security_group_ports",
    metadata,
    Column("port_id", Id, ForeignKey("ports.id", ondelete="CASCADE"), primary_key=True),
    Column("security_group_id", Id, ForeignKey("security_groups.id"), primary_key=True, index=True),
)
