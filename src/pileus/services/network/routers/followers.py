"""Followers of routers' ports (moved by request) and of L3 agents (reported, enabled, deleted)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from sqlalchemy import bindparam, select

from pileus.core.context import Context
from pileus.resource.declaration import Values
from pileus.services.network.config import AgentSeen, NetworkConfig
from pileus.services.network.routers.ha_scheduling import ha_agents_deleting, ha_routers_fill_up
from pileus.services.network.routers.handovers import handovers_of_agents
from pileus.services.network.routers.scheduling import (
    routers_bind_ports,
    routers_end_handovers,
    routers_leave_agents,
    routers_leave_disabled_agents,
    routers_schedule,
    routers_schedule_unhosted,
    routers_served_by,
)
from pileus.services.network.routers.tables import router_ports
from pileus.services.network.rules import device_owners
from pileus.services.network.rules.agent_types import L3_AGENT
from pileus.store.tx import Tx
from pileus.wire import scopes

_ROUTERS_OF = select(router_ports.c.router_id).where(
    router_ports.c.port_id.in_(bindparam("ids", expanding=True))
)


def routers_restore_ports(
    tx: Tx, context: Context, ports: Sequence[Values], kinds: Mapping[str, str], config: NetworkConfig
) -> None:
    """Bind routers' ports to the routers' hosts again where a request has moved them."""
    routed = [port["id"] for port in ports if kinds[port["id"]] in device_owners.OF_ROUTERS]
    if routed:
        router_ids = sorted({row.router_id for row in tx.rows(_ROUTERS_OF, {"ids": routed})})
        routers_bind_ports(tx, context, router_ids, config)


def l3_agent_reported(tx: Tx, context: Context, agent: AgentSeen, config: NetworkConfig) -> None:
    """Move routers of agents that are dead, and give the agent some if it appears and takes any."""
    if agent.agent_type == L3_AGENT:
        routers_leave_agents(tx, context, config)
        if agent.admin_state_up and agent.appeared:
            _find_work(tx, context, config)


def l3_agents_enabled(tx: Tx, context: Context, agent_types: Sequence[str], config: NetworkConfig) -> None:
    """Schedule routers without an agent, now that an agent is enabled (seed 003)."""
    if L3_AGENT in agent_types:
        routers_leave_agents(tx, context, config)
        _find_work(tx, context, config)


def l3_agents_disabled(tx: Tx, context: Context, agent_ids: Sequence[str], config: NetworkConfig) -> None:
    """Move routers of agents that are disabled to others, while packets flow."""
    routers_leave_disabled_agents(tx, context, agent_ids, config)


def l3_agents_deleting(
    tx: Tx, context: Context, agent_ids: Sequence[str], config: NetworkConfig
) -> Callable[[], Collection[str]]:
    """Schedule routers of agents that are deleted to others; their scopes are told."""
    served = routers_served_by(tx, agent_ids)
    routers_end_handovers(tx, context, handovers_of_agents(tx, agent_ids), config)
    fill_up = ha_agents_deleting(tx, context, agent_ids, config)

    def after() -> Collection[str]:
        routers_schedule(tx, context, served, config)
        routers_bind_ports(tx, context, served, config)
        return [scopes.router(router_id) for router_id in (*served, *fill_up())]

    return after


def _find_work(tx: Tx, context: Context, config: NetworkConfig) -> None:
    """Schedule routers without an agent: one has appeared."""
    routers_schedule_unhosted(tx, context, config)
    ha_routers_fill_up(tx, context, config)
