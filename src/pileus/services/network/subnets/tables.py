"""Tables of subnets, and of the addresses that are taken in them."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Integer, String, Table

from pileus.store.schema import Id, JsonText, Moment, Name, metadata

subnets = Table(
    "subnets",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False, index=True),
    Column("network_id", Id, ForeignKey("networks.id"), nullable=False, index=True),
    Column("name", Name, nullable=False),
    Column("description", Name, nullable=False),
    Column("ip_version", Integer, nullable=False),
    Column("cidr", String(64), nullable=False),
    Column("gateway_ip", String(64)),
    Column("enable_dhcp", Boolean, nullable=False),
    Column("ipv6_ra_mode", String(16)),
    Column("ipv6_address_mode", String(16)),
    Column("subnetpool_id", Id),
    Column("dns_publish_fixed_ip", Boolean, nullable=False),
    Column("allocation_pools", JsonText, nullable=False),
    Column("dns_nameservers", JsonText, nullable=False),
    Column("host_routes", JsonText, nullable=False),
    Column("service_types", JsonText, nullable=False),
    Column("segment_id", Id, ForeignKey("segments.id"), index=True),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("revision_number", Integer, nullable=False),
)

# The key that keeps an address from being given twice. Addresses are in canonical form.
ip_allocations = Table(
    "ip_allocations",
    metadata,
    Column("subnet_id", Id, ForeignKey("subnets.id"), primary_key=True),
    Column("ip_address", String(64), primary_key=True),
    Column("port_id", Id, ForeignKey("ports.id", ondelete="CASCADE"), nullable=False, index=True),
)
