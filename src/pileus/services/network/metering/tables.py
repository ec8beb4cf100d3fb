"""Tables of metering labels, of their rules, and of what was counted."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, String, Table

from pileus.store.schema import Id, Moment, Name, metadata

metering_labels = Table(
    "metering_labels",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False, index=True),
    Column("name", Name, nullable=False),
    Column("description", Name, nullable=False),
    Column("shared", Boolean, nullable=False),
)

metering_label_rules = Table(
    "metering_label_rules",
    metadata,
    Column("id", Id, primary_key=True),
    Column(
        "metering_label_id",
        Id,
        ForeignKey("metering_labels.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("direction", String(8), nullable=False),
    Column("excluded", Boolean, nullable=False),
    Column("remote_ip_prefix", String(64)),
    Column("source_ip_prefix", String(64)),
    Column("destination_ip_prefix", String(64)),
)

# By host, since several hold a router of high availability ready; HOST/switch is what the host's switch has
# counted of a distributed router, beside the router's namespace there. What was said last is kept beside the
# sum: counters begin anew with the namespace, and with the switch.
metering_counters = Table(
    "metering_counters",
    metadata,
    Column("label_id", Id, ForeignKey("metering_labels.id", ondelete="CASCADE"), primary_key=True),
    Column("router_id", Id, ForeignKey("routers.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("host", String(255), primary_key=True),
    Column("packets", BigInteger, nullable=False),
    Column("octets", BigInteger, nullable=False),
    Column("last_packets", BigInteger, nullable=False),
    Column("last_octets", BigInteger, nullable=False),
    Column("updated_at", Moment, nullable=False),
)
