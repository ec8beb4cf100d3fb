"""Routers given to L3 agents, and taken from them, by request."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, bindparam, select

from pileus.core.context import Context
from pileus.core.errors import Conflict, NotFound
from pileus.services.network.agents.resource import AgentNotFound
from pileus.services.network.agents.tables import agents
from pileus.services.network.config import NetworkConfig
from pileus.services.network.routers.ha_scheduling import ha_bind, ha_unbind
from pileus.services.network.routers.handovers import handovers_begin
from pileus.services.network.routers.scheduling import (
    BOUND,
    LOCK,
    bind,
    gateway_networks,
    routers_bind_ports,
    routers_follow,
    unbind,
)
from pileus.services.network.routers.tables import routers
from pileus.services.network.rules.agent_types import L3_AGENT
from pileus.services.network.rules.scheduling import SNAT_MODES, Candidate, serves_router
from pileus.store.tx import Tx


class InvalidL3Agent(NotFound):
    message = "Agent {id} is not a L3 Agent or has been disabled"


class RouterHostedByL3Agent(Conflict):
    message = "The router {router_id} has been already hosted by the L3 Agent {agent_id}."


class RouterNotHostedByL3Agent(Conflict):
    message = "The router {router_id} is not hosted by the L3 Agent {agent_id}."


class DVRL3CannotAssignToDvrAgent(Conflict):
    message = "Not allowed to manually assign a router to an agent in 'dvr' mode."


class RouterL3AgentMismatch(Conflict):
    message = "Cannot host distributed router {router_id} on legacy L3 agent {agent_id}."


class RouterInMachine(Conflict):
    message = "Cannot host router {router_id} on L3 agent {agent_id}: it is a virtual machine by its flavor."


_AGENT = select(
    agents.c.id, agents.c.host, agents.c.agent_type, agents.c.admin_state_up, agents.c.configurations
).where(agents.c.id == bindparam("agent"))
_ROUTER = select(
    routers.c.id, routers.c.project_id, routers.c.ha, routers.c.distributed, routers.c.gateway_vm
).where(routers.c.id == bindparam("router"))


def router_bind(tx: Tx, context: Context, agent_id: str, router_id: str, *, config: NetworkConfig) -> None:
    """Bind a router to an agent by request: InvalidL3Agent, DVRL3CannotAssignToDvrAgent,
    RouterL3AgentMismatch, RouterInMachine, RouterHostedByL3Agent."""
    tx.lock(LOCK)
    agent = tx.first(_AGENT, {"agent": agent_id})
    if agent is None:
        raise AgentNotFound(id=agent_id)
    router = tx.first(_ROUTER, {"router": router_id})
    assert router is not None  # the handler has found it in this transaction
    _check_agent(agent, router, gateway_networks(tx, [router_id]).get(router_id))
    hosted = tx.rows(BOUND, {"ids": [router_id]})
    for row in hosted:
        if not router.ha or row.agent_id == agent_id:
            raise RouterHostedByL3Agent(router_id=router_id, agent_id=row.agent_id)
    if router.ha:
        ha_bind(tx, context, [(router_id, router.project_id, Candidate(agent.id, agent.host, 0))], config)
    else:
        bind(tx, context, [(router_id, agent.id, agent.host)])
        routers_follow(tx, context, [router_id], config)


def router_unbind(tx: Tx, context: Context, agent_id: str, router_id: str, *, config: NetworkConfig) -> None:
    """Take a router from an agent by request: InvalidL3Agent, RouterNotHostedByL3Agent. No other agent gets
    it; the one goes on serving it for a moment, so that it can be given to another without a gap."""
    tx.lock(LOCK)
    agent = tx.first(_AGENT, {"agent": agent_id})
    if agent is None:
        raise AgentNotFound(id=agent_id)
    if agent.agent_type != L3_AGENT:
        raise InvalidL3Agent(id=agent_id)
    hosted = [row for row in tx.rows(BOUND, {"ids": [router_id]}) if row.agent_id == agent_id]
    if not hosted:
        raise RouterNotHostedByL3Agent(router_id=router_id, agent_id=agent_id)
    if hosted[0].ha_state is not None:
        ha_unbind(tx, context, hosted, config)
    else:
        handovers_begin(tx, context, hosted, config)
        unbind(tx, context, hosted)
    routers_bind_ports(tx, context, [router_id], config)


def _check_agent(agent: Row[Any], router: Row[Any], outside: str | None) -> None:
    if agent.agent_type != L3_AGENT:
        raise InvalidL3Agent(id=agent.id)
    if router.gateway_vm:
        raise RouterInMachine(router_id=router.id, agent_id=agent.id)
    mode = agent.configurations.get("agent_mode", "legacy")
    if mode not in SNAT_MODES:
        raise DVRL3CannotAssignToDvrAgent()
    if mode == "legacy" and router.distributed:
        raise RouterL3AgentMismatch(router_id=router.id, agent_id=agent.id)
    if not agent.admin_state_up or not serves_router(
        agent.configurations, router.id, outside, router.distributed
    ):
        raise InvalidL3Agent(id=agent.id)
