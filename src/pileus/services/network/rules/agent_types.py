"""Types of agents, as they name themselves in reports."""

from __future__ import annotations

OPEN_VSWITCH_AGENT = "Open vSwitch agent"
LINUX_BRIDGE_AGENT = "Linux bridge agent"
SWITCH_AGENTS = (OPEN_VSWITCH_AGENT, LINUX_BRIDGE_AGENT)
"""Agents that plug ports."""
DHCP_AGENT = "DHCP agent"
L3_AGENT = "L3 agent"
GATEWAY_AGENT = "Gateway VM agent"
"""Configures routers that are virtual machines, on the machine's host."""
ROUTING_AGENTS = (L3_AGENT, GATEWAY_AGENT)
"""Agents that routers are bound to."""
L2_GATEWAY_AGENT = "L2 Gateway agent"
