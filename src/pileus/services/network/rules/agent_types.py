"""Types of agents, as they name themselves in reports."""

from __future__ import annotations

SWITCH_AGENTS = ("Open vSwitch agent",)
DHCP_AGENT = "DHCP agent"
L3_AGENT = "L3 agent"
