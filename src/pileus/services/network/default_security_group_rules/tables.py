"""The table of the rules that new security groups begin with."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Integer, String, Table

from pileus.store.schema import Id, Name, metadata

# A rule may refer to the group that it will be in (``remote_is_parent``): there is no id for that yet.
default_security_group_rules = Table(
    "default_security_group_rules",
    metadata,
    Column("id", Id, primary_key=True),
    Column("direction", String(8), nullable=False),
    Column("ethertype", String(8), nullable=False),
    Column("protocol", String(40)),
    Column("port_range_min", Integer),
    Column("port_range_max", Integer),
    Column("remote_ip_prefix", String(64)),
    Column("remote_is_parent", Boolean, nullable=False),
    Column("remote_to_group_id", Id, ForeignKey("security_groups.id", ondelete="CASCADE"), index=True),
    Column("remote_address_group_id", Id, ForeignKey("address_groups.id"), index=True),
    Column("used_in_default_sg", Boolean, nullable=False),
    Column("used_in_non_default_sg", Boolean, nullable=False),
    Column("description", Name, nullable=False),
    Column("digest", String(40), nullable=False, index=True),
)
