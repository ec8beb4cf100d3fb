"""Whom a port belongs to (``device_owner``), where Pileus itself makes it for a network's own services."""

DHCP = "network:dhcp"
ROUTER_INTERFACE = "network:router_interface"
ROUTER_GATEWAY = "network:router_gateway"
FLOATING_IP = "network:floatingip"

OF_ROUTERS = (ROUTER_INTERFACE, ROUTER_GATEWAY)

AUTO_DELETED = (DHCP, "network:dhcp_agent", "network:distributed")
"""These go with their network or subnet; nobody has to take them away first."""
