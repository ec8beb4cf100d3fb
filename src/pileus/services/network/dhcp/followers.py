"""Followers of ports (created, moved, deleted) and of agents (reported, enabled, deleted), for DHCP."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from pileus.core.context import Context
from pileus.resource.declaration import Values
from pileus.services.network.config import AgentSeen, NetworkConfig
from pileus.services.network.dhcp.ports import dhcp_ports_sync, networks_lacking_port
from pileus.services.network.dhcp.scheduling import (
    networks_leave_dead_agents,
    networks_schedule,
    networks_schedule_unserved,
    networks_served_by,
)
from pileus.services.network.rules import device_owners
from pileus.services.network.rules.agent_types import DHCP_AGENT
from pileus.store.tx import Tx


def dhcp_follows_ports(
    tx: Tx, context: Context, ports: Sequence[Values], with_dhcp: Collection[str], config: NetworkConfig
) -> None:
    """Schedule networks with DHCP when they get their first port that is not DHCP's own."""
    asking = {port["network_id"] for port in ports if port["device_owner"] != device_owners.DHCP}
    networks_schedule(tx, context, sorted(asking.intersection(with_dhcp)), config)


def dhcp_restores_ports(
    tx: Tx, context: Context, ports: Sequence[Values], kinds: Mapping[str, str], config: NetworkConfig
) -> None:
    """Restore DHCP's own ports where a request has moved or deleted them."""
    served = {port["network_id"] for port in ports if kinds[port["id"]] == device_owners.DHCP}
    dhcp_ports_sync(tx, context, served, config)


def dhcp_agent_reported(tx: Tx, context: Context, agent: AgentSeen, config: NetworkConfig) -> None:
    """Give the agent networks if it takes any, and DHCP ports where it lacks them."""
    if agent.agent_type != DHCP_AGENT:
        return
    if agent.admin_state_up:
        _find_work(tx, context, config, appeared=agent.appeared)
    served = (
        networks_served_by(tx, [agent.agent_id])
        if agent.appeared
        else networks_lacking_port(tx, agent.agent_id, agent.host)
    )
    dhcp_ports_sync(tx, context, served, config)


def dhcp_agents_enabled(tx: Tx, context: Context, agent_types: Sequence[str], config: NetworkConfig) -> None:
    """Schedule networks without enough agents, now that an agent is enabled (seed 003)."""
    if DHCP_AGENT in agent_types:
        _find_work(tx, context, config, appeared=True)


def dhcp_agents_deleting(
    tx: Tx, context: Context, agent_ids: Sequence[str], config: NetworkConfig
) -> Callable[[], Collection[str]]:
    """Schedule networks of agents that are deleted to others."""
    served = networks_served_by(tx, agent_ids)

    def after() -> Collection[str]:
        networks_schedule(tx, context, served, config)
        dhcp_ports_sync(tx, context, served, config)
        return ()

    return after


def _find_work(tx: Tx, context: Context, config: NetworkConfig, *, appeared: bool) -> None:
    """Schedule networks of dead agents, and where an agent has appeared those without enough agents."""
    networks_leave_dead_agents(tx, context, config)
    if appeared:
        networks_schedule_unserved(tx, context, config)
