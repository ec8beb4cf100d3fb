"""Tables of L2 gateways, of the switches that nodes drive, and of the machines that these have seen."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Integer, String, Table, UniqueConstraint

from pileus.store.schema import Id, JsonText, Name, metadata

l2_gateways = Table(
    "l2_gateways",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False, index=True),
    Column("name", Name, nullable=False),
    Column("devices", JsonText, nullable=False),
)

# The same devices as rows: which switches a gateway is of. VLAN -1: the connection says it.
l2_gateway_ports = Table(
    "l2_gateway_ports",
    metadata,
    Column("l2_gateway_id", Id, ForeignKey("l2_gateways.id", ondelete="CASCADE"), primary_key=True),
    Column("device_name", String(64), primary_key=True, index=True),
    Column("interface_name", String(64), primary_key=True),
    Column("vlan", Integer, primary_key=True, autoincrement=False),
)

l2_gateway_connections = Table(
    "l2_gateway_connections",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False, index=True),
    Column("l2_gateway_id", Id, ForeignKey("l2_gateways.id"), nullable=False),
    Column("network_id", Id, ForeignKey("networks.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("segmentation_id", Integer, nullable=False),
    UniqueConstraint("l2_gateway_id", "network_id", name="uq_l2_gateway_connections_network"),
)

# As the node that drives it tells of it.
physical_switches = Table(
    "physical_switches",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("host", String(255), nullable=False, index=True),
    Column("kind", String(16), nullable=False),
    Column("ports", JsonText, nullable=False),
    Column("tunnel_ip", String(64)),
    Column("tunnel_types", JsonText, nullable=False),
    Column("failure", String(1024)),
)

physical_addresses = Table(
    "physical_addresses",
    metadata,
    Column(
        "switch_name", String(64), ForeignKey("physical_switches.name", ondelete="CASCADE"), primary_key=True
    ),
    Column("network_id", Id, ForeignKey("networks.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("mac_address", String(32), primary_key=True),
)
