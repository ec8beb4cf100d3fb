"""The table of ports.

Addresses, security groups, address pairs and DHCP options are kept as JSON in the row,
so that a list of thousands is one statement; ``ip_allocations`` and
``security_group_ports`` hold the same facts as keys, for uniqueness and for looking
from the other side. Only ``ports/work.py`` and ``ports/automatic.py`` write either, always together.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
    false,
    true,
)

from pileus.store.schema import Id, JsonText, Moment, Name, metadata

ports = Table(
    "ports",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False),
    Column("network_id", Id, ForeignKey("networks.id"), nullable=False),
    Column("name", Name, nullable=False),
    Column("description", Name, nullable=False),
    Column("mac_address", String(17), nullable=False),
    Column("admin_state_up", Boolean, nullable=False),
    Column("status", String(16), nullable=False),
    Column("device_id", Name, nullable=False, index=True),
    Column("device_owner", Name, nullable=False),
    Column("port_security_enabled", Boolean, nullable=False),
    Column("fixed_ips", JsonText, nullable=False),
    Column("security_groups", JsonText, nullable=False),
    Column("allowed_address_pairs", JsonText, nullable=False),
    Column("extra_dhcp_opts", JsonText, nullable=False),
    Column("host", Name, nullable=False, index=True),
    Column("vnic_type", String(64), nullable=False),
    Column("profile", JsonText, nullable=False),
    Column("vif_type", String(64), nullable=False),
    Column("vif_details", JsonText, nullable=False),
    Column("dns_name", Name, nullable=False),
    Column("dns_domain", Name, nullable=False, server_default=""),
    Column("dns_assignment", JsonText, nullable=False),
    Column("dns_keywords", JsonText),
    Column("trusted", Boolean),
    Column("hints", JsonText),
    Column("data_plane_status", String(16)),
    Column("propagate_uplink_status", Boolean, nullable=False, server_default=true()),
    Column("device_profile", Name),
    Column("hardware_offload_type", String(16)),
    Column("numa_affinity_policy", String(16)),
    Column("ip_allocation", String(16), nullable=False, server_default="immediate"),
    Column("qos_policy_id", Id, ForeignKey("qos_policies.id"), index=True),
    Column("rate_limited_by", String(16)),
    Column("quarantined", Boolean, nullable=False, server_default=false()),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("revision_number", Integer, nullable=False),
    UniqueConstraint("network_id", "mac_address"),
    Index("ix_ports_network_id_host", "network_id", "host"),
    # Pages of those of a network and of a project are in the order of their ids.
    Index("ix_ports_network_id_id", "network_id", "id"),
    Index("ix_ports_project_id_id", "project_id", "id"),
)
