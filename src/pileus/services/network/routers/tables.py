"""Tables of routers, of their ports, and of the agents that host them."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Integer, String, Table, UniqueConstraint, false

from pileus.resource.standard import standard_columns
from pileus.store.schema import Id, JsonText, Moment, Name, metadata

routers = Table(
    "routers",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False, index=True),
    Column("name", Name, nullable=False),
    Column("admin_state_up", Boolean, nullable=False),
    Column("status", String(16), nullable=False),
    Column("enable_snat", Boolean, nullable=False),
    Column("routes", JsonText, nullable=False),
    Column("availability_zone_hints", JsonText, nullable=False),
    Column("distributed", Boolean, nullable=False, server_default=false()),
    Column("ha", Boolean, nullable=False, server_default=false()),
    Column("enable_ndp_proxy", Boolean, nullable=False, server_default=false()),
    Column("enable_default_route_ecmp", Boolean, nullable=False, server_default=false()),
    Column("enable_default_route_bfd", Boolean, nullable=False, server_default=false()),
    Column("flavor_id", Id, ForeignKey("network_flavors.id"), index=True),
    Column("gateway_vm", Boolean, nullable=False, server_default=false()),
    *standard_columns(),
)

# Which ports are a router's. A port's device_id says the same and is anybody's to write; this is not.
# Both deletes are refused while the row is there but the port's, which takes it along.
router_ports = Table(
    "router_ports",
    metadata,
    Column("port_id", Id, ForeignKey("ports.id", ondelete="CASCADE"), primary_key=True),
    Column("router_id", Id, ForeignKey("routers.id"), nullable=False, index=True),
    Column("port_type", String(64), nullable=False),
    # Of gateways, of which a router may have several: the one with the least is its external_gateway_info.
    Column("gateway_index", Integer, nullable=False, server_default="0"),
)

# The key keeps a router from being hosted twice, also when two agents appear at once: hosting begins with
# index 1, and only routers of high availability have more of it. Those have a port on their HA network and
# a state (``ha_states``) for each agent; with others both are None.
router_bindings = Table(
    "router_bindings",
    metadata,
    Column("router_id", Id, ForeignKey("routers.id", ondelete="CASCADE"), primary_key=True),
    Column("binding_index", Integer, primary_key=True, autoincrement=False),
    Column("agent_id", Id, ForeignKey("agents.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("bound_at", Moment, nullable=False),
    Column("ha_port_id", Id, ForeignKey("ports.id"), index=True),
    Column("ha_state", String(16)),
    Column("ha_state_at", Moment),
    UniqueConstraint("router_id", "agent_id"),
)

# The agent that serves a router which it is not bound to any more: until the one that it is bound to does, or
# where it is bound to none, for a moment (``handovers``). Not of routers of high availability.
# ``since`` is when the phase began.
router_handovers = Table(
    "router_handovers",
    metadata,
    Column("router_id", Id, ForeignKey("routers.id", ondelete="CASCADE"), primary_key=True),
    Column("agent_id", Id, ForeignKey("agents.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("phase", String(16), nullable=False),
    Column("since", Moment, nullable=False),
)

# One network for all routers of high availability of a project; it goes with the last of them.
ha_networks = Table(
    "ha_networks",
    metadata,
    Column("project_id", Id, primary_key=True),
    Column("network_id", Id, ForeignKey("networks.id"), nullable=False, unique=True),
)

# VRRP's number of a router, which is of one octet and of the HA network.
ha_vr_ids = Table(
    "ha_vr_ids",
    metadata,
    Column("network_id", Id, ForeignKey("networks.id"), primary_key=True),
    Column("vr_id", Integer, primary_key=True, autoincrement=False),
    Column("router_id", Id, ForeignKey("routers.id", ondelete="CASCADE"), nullable=False, unique=True),
)

# The hardware address with which a host sends what it routes for distributed routers.
dvr_host_macs = Table(
    "dvr_host_macs",
    metadata,
    Column("host", Name, primary_key=True),
    Column("mac_address", String(17), nullable=False, unique=True),
)
