"""Tables of local IPs and of the ports that they lead to."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, String, Table

from pileus.store.schema import Id, Name, metadata

# The address is one of a port: of the local IP's own (``device_owners.LOCAL_IP``), or of somebody's, which
# stays while a local IP has its address.
local_ips = Table(
    "local_ips",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False, index=True),
    Column("name", Name, nullable=False),
    Column("description", String(1024), nullable=False),
    Column("local_port_id", Id, ForeignKey("ports.id"), nullable=False, index=True),
    Column("network_id", Id, nullable=False),
    Column("local_ip_address", String(64), nullable=False),
    Column("ip_mode", String(16), nullable=False),
)

local_ip_associations = Table(
    "local_ip_associations",
    metadata,
    Column("local_ip_id", Id, ForeignKey("local_ips.id"), primary_key=True),
    Column("fixed_port_id", Id, ForeignKey("ports.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("fixed_ip", String(64), nullable=False),
)
