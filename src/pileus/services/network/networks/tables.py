"""Tables of networks, and of the segments that are taken."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Integer,
    String,
    Table,
    UniqueConstraint,
    false,
)

from pileus.store.schema import Id, JsonText, Moment, Name, metadata

networks = Table(
    "networks",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False, index=True),
    Column("name", Name, nullable=False),
    Column("description", Name, nullable=False),
    Column("admin_state_up", Boolean, nullable=False),
    Column("status", String(16), nullable=False),
    Column("shared", Boolean, nullable=False),
    Column("external", Boolean, nullable=False),
    Column("is_default", Boolean, nullable=False),
    Column("mtu", Integer, nullable=False),
    Column("network_type", String(16), nullable=False),
    Column("physical_network", String(64)),
    Column("segmentation_id", BigInteger),
    # Its segments as they are shown, where it has another number of them than one; the three columns above
    # are those of the first.
    Column("segments", JsonText),
    Column("vlan_transparent", Boolean, nullable=False, server_default=false()),
    Column("qinq", Boolean, nullable=False, server_default=false()),
    Column("port_security_enabled", Boolean, nullable=False),
    Column("availability_zone_hints", JsonText, nullable=False),
    Column("dns_domain", Name, nullable=False),
    Column("qos_policy_id", Id, ForeignKey("qos_policies.id"), index=True),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("revision_number", Integer, nullable=False),
)

# The second key makes two networks with one tag impossible. A segment without a physical network or number
# has "" and 0 there, since NULLs are never equal. ``segment_index`` orders the segments of a network.
segments = Table(
    "segments",
    metadata,
    Column("id", Id, primary_key=True),
    Column("network_id", Id, ForeignKey("networks.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("network_type", String(16), nullable=False),
    Column("physical_network", String(64), nullable=False),
    Column("segmentation_id", BigInteger, nullable=False),
    Column("segment_index", Integer, nullable=False),
    Column("name", Name),
    Column("description", Name, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("revision_number", Integer, nullable=False),
    UniqueConstraint("network_type", "physical_network", "segmentation_id", name="uq_segments_carrier"),
)
