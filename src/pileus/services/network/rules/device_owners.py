"""Whom a port belongs to (``device_owner``), where Pileus itself makes it for a network's own services.

The text is for those who read the API. Users can't write an owner that begins with ``network:``, in
no spelling, and no other text makes a port the network's; which ports are a router's, a floating IP's
or DHCP's is kept in tables of their own (``belonging``).
"""

from __future__ import annotations

import unicodedata

NETWORK = "network:"
DHCP = "network:dhcp"
ROUTER_INTERFACE = "network:router_interface"
HA_INTERFACE = "network:ha_router_replicated_interface"
"""On a project network, of a router that several agents hold ready."""
DISTRIBUTED_INTERFACE = "network:router_interface_distributed"
ROUTER_GATEWAY = "network:router_gateway"
ROUTER_HA = "network:router_ha_interface"
"""On the HA network: by it the agents of a router hear of each other."""
CENTRAL_SNAT = "network:router_centralized_snat"
"""Of a distributed router, where source addresses are translated."""
AGENT_GATEWAY = "network:floatingip_agent_gateway"
"""Of a host, on the external network of floating IPs that it translates."""
FLOATING_IP = "network:floatingip"
LOCAL_IP = "network:local_ip"
"""Of no guest: a local IP has its address."""

INTERFACES = (ROUTER_INTERFACE, HA_INTERFACE, DISTRIBUTED_INTERFACE)
"""A router's ports on project networks, by the kind of the router."""
OF_ROUTERS = (*INTERFACES, ROUTER_GATEWAY, ROUTER_HA, CENTRAL_SNAT, AGENT_GATEWAY)
REPLICATED = (HA_INTERFACE, DISTRIBUTED_INTERFACE, CENTRAL_SNAT, ROUTER_GATEWAY)
"""Ports of an HA router that each of its hosts has."""
OF_ONE_HOST = (ROUTER_HA, AGENT_GATEWAY)
"""Ports that are bound to a host of their own, wherever the router is."""

AUTO_DELETED = (DHCP, "network:dhcp_agent", "network:distributed")
"""These go with their network or subnet; nobody has to take them away first."""


def is_trusted(owner: str) -> bool:
    """Whether a port is the network's own, which is not filtered."""
    return owner.startswith(NETWORK)


def normal(owner: str) -> str:
    """The owner as it is kept: one that reads like the network's own is written as those are.

    Databases and people take ``Network:dhcp``, full-width letters or trailing blanks for the same.
    """
    plain = unicodedata.normalize("NFKC", owner).strip().casefold()
    return plain if plain.startswith(NETWORK) else owner
