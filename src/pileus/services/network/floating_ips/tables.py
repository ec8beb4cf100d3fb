"""The table of floating IPs."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, String, Table, UniqueConstraint

from pileus.resource.standard import standard_columns
from pileus.store.schema import Id, Name, metadata

# The address belongs to a port of its own on the external network and goes with it. The key keeps a
# fixed address from getting two floating IPs of one network (NULLs are never equal).
floating_ips = Table(
    "floating_ips",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False, index=True),
    Column("floating_network_id", Id, ForeignKey("networks.id"), nullable=False, index=True),
    Column("floating_ip_address", String(64), nullable=False),
    Column("floating_port_id", Id, ForeignKey("ports.id", ondelete="CASCADE"), nullable=False, unique=True),
    Column("fixed_port_id", Id, ForeignKey("ports.id")),
    Column("fixed_ip_address", String(64)),
    Column("router_id", Id, ForeignKey("routers.id"), index=True),
    Column("status", String(16), nullable=False),
    Column("qos_policy_id", Id, ForeignKey("qos_policies.id"), index=True),
    Column("dns_name", Name, nullable=False),
    Column("dns_domain", Name, nullable=False),
    *standard_columns(),
    # Named here, since the names of all three columns are too long for a constraint.
    UniqueConstraint(
        "fixed_port_id", "floating_network_id", "fixed_ip_address", name="uq_floating_ips_fixed_address"
    ),
)

# The port of a host itself on an external network, by whose hardware address it answers for the floating IPs
# that it translates there. There is one where the host can, so its row says that it does.
floating_ip_gateways = Table(
    "floating_ip_gateways",
    metadata,
    Column("port_id", Id, ForeignKey("ports.id", ondelete="CASCADE"), primary_key=True),
    Column("host", Name, nullable=False),
    Column("network_id", Id, ForeignKey("networks.id"), nullable=False, index=True),
    UniqueConstraint("host", "network_id"),
)

# Which host has said that it translates a floating IP, and what for. Until it has, the router's agent does.
floating_ip_hosts = Table(
    "floating_ip_hosts",
    metadata,
    Column("floating_ip_id", Id, ForeignKey("floating_ips.id", ondelete="CASCADE"), primary_key=True),
    Column("host", Name, nullable=False),
    Column("port_id", Id, nullable=False),
    Column("fixed_ip_address", String(64), nullable=False),
)
