"""Binding networks to DHCP agents: by request, with a network's first port, when an agent appears, and when
one dies."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Row, and_, bindparam, delete, exists, func, or_, select

from pileus.core.context import Context
from pileus.core.errors import Conflict, NotFound
from pileus.resource.event import event
from pileus.services.network.agents.resource import AgentNotFound
from pileus.services.network.agents.tables import agents
from pileus.services.network.config import NetworkConfig
from pileus.services.network.dhcp.places import places_of
from pileus.services.network.dhcp.ports import dhcp_ports_sync
from pileus.services.network.dhcp.tables import PENDING, dhcp_bindings
from pileus.services.network.networks.tables import networks
from pileus.services.network.ports.tables import ports
from pileus.services.network.rules import device_owners
from pileus.services.network.rules.agent_types import DHCP_AGENT
from pileus.services.network.rules.scheduling import Candidate, choose
from pileus.services.network.subnets.tables import subnets
from pileus.store.tx import Tx
from pileus.wire import scopes

_LOCK = "schedule:dhcp"


class InvalidDHCPAgent(NotFound):
    message = "Agent {id} is not a valid DHCP Agent or has been disabled."


class NetworkHostedByDHCPAgent(Conflict):
    message = "The network {network_id} has been already hosted by the DHCP Agent {agent_id}."


class NetworkNotHostedByDhcpAgent(Conflict):
    message = "The network {network_id} is not hosted by the DHCP Agent {agent_id}."


_AGENT = select(agents.c.id, agents.c.host, agents.c.agent_type, agents.c.admin_state_up).where(
    agents.c.id == bindparam("agent")
)
_IS_ROUTED = exists(
    select(subnets.c.id).where(
        subnets.c.network_id == dhcp_bindings.c.network_id, subnets.c.segment_id.is_not(None)
    )
)
# Every DHCP agent, once for each of the networks that it serves (or once, with no network).
_AGENTS_AND_NETWORKS = (
    select(
        agents.c.id,
        agents.c.host,
        agents.c.admin_state_up,
        agents.c.heartbeat_timestamp,
        agents.c.availability_zone,
        dhcp_bindings.c.network_id,
        _IS_ROUTED.label("routed"),
    )
    .select_from(
        agents.outerjoin(
            dhcp_bindings,
            and_(
                dhcp_bindings.c.agent_id == agents.c.id,
                dhcp_bindings.c.network_id.in_(bindparam("ids", expanding=True)),
            ),
        )
    )
    .where(agents.c.agent_type == DHCP_AGENT)
    .order_by(agents.c.id)
)
_LOADS = select(dhcp_bindings.c.agent_id, func.count().label("load")).group_by(dhcp_bindings.c.agent_id)
_NETWORKS = (
    select(networks.c.id, networks.c.project_id, networks.c.availability_zone_hints)
    .where(networks.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(networks.c.id)
)
_SERVED_BY = (
    select(func.count())
    .where(dhcp_bindings.c.network_id == networks.c.id)
    .correlate(networks)
    .scalar_subquery()
)
_SHORT = (
    select(networks.c.id)
    .where(
        or_(
            bindparam("wanted") > _SERVED_BY,
            select(subnets.c.id)
            .where(subnets.c.network_id == networks.c.id, subnets.c.segment_id.is_not(None))
            .exists(),
        ),
        select(subnets.c.id).where(subnets.c.network_id == networks.c.id, subnets.c.enable_dhcp).exists(),
        select(ports.c.id)
        .where(ports.c.network_id == networks.c.id, ports.c.device_owner != device_owners.DHCP)
        .exists(),
    )
    .order_by(networks.c.id)
)
_OF_DEAD = (
    select(dhcp_bindings.c.network_id, dhcp_bindings.c.agent_id, agents.c.host)
    .select_from(agents.join(dhcp_bindings, dhcp_bindings.c.agent_id == agents.c.id))
    .where(
        agents.c.agent_type == DHCP_AGENT,
        agents.c.admin_state_up,
        agents.c.heartbeat_timestamp < bindparam("since"),
    )
    .order_by(dhcp_bindings.c.network_id)
)
_UNBIND = delete(dhcp_bindings).where(
    dhcp_bindings.c.agent_id.in_(bindparam("agents", expanding=True)),
    dhcp_bindings.c.network_id.in_(bindparam("networks", expanding=True)),
)


def network_bind(tx: Tx, context: Context, agent_id: str, network_id: str, *, config: NetworkConfig) -> None:
    """Bind a network to an agent by request: InvalidDHCPAgent, NetworkHostedByDHCPAgent."""
    tx.lock(_LOCK)
    agent = tx.first(_AGENT, {"agent": agent_id})
    if agent is None:
        raise AgentNotFound(id=agent_id)
    if agent.agent_type != DHCP_AGENT or not agent.admin_state_up:
        raise InvalidDHCPAgent(id=agent_id)
    hosted = {row.id for row in tx.rows(_AGENTS_AND_NETWORKS, {"ids": [network_id]}) if row.network_id}
    if agent_id in hosted:
        raise NetworkHostedByDHCPAgent(network_id=network_id, agent_id=agent_id)
    (network,) = tx.rows(_NETWORKS, {"ids": [network_id]})
    _bind(tx, context, [(network, agent_id, agent.host)], config)


def network_unbind(
    tx: Tx, context: Context, agent_id: str, network_id: str, *, config: NetworkConfig
) -> None:
    """Take a network from an agent by request: NetworkNotHostedByDhcpAgent. No other agent gets it."""
    agent = tx.first(_AGENT, {"agent": agent_id})
    if agent is None:
        raise AgentNotFound(id=agent_id)
    if not tx.execute(_UNBIND, {"agents": [agent_id], "networks": [network_id]}).rowcount:
        raise NetworkNotHostedByDhcpAgent(network_id=network_id, agent_id=agent_id)
    _tell(tx, context, "network.dhcp_unbind", [(network_id, agent_id, agent.host)])
    dhcp_ports_sync(tx, context, [network_id], config)


def networks_schedule(tx: Tx, context: Context, network_ids: Sequence[str], config: NetworkConfig) -> None:
    """Bind networks to as many agents as each should have; one statement where all have theirs, or where
    there is no DHCP agent at all."""
    if not network_ids:
        return
    known, alive, routed = _look(tx, context, network_ids, config)
    wanted = config.dhcp_agents_per_network
    able = {row.id for row in alive}
    if not any(
        able - has and (len(has) < wanted or one in routed)
        for one, has in ((one, known.get(one, set())) for one in network_ids)
    ):
        return
    tx.lock(_LOCK)
    known, alive, _ = _look(tx, context, network_ids, config)
    hosts = {row.id: row.host for row in alive}
    places = places_of(tx, network_ids, hosts.values())
    loads: Counter[str] = Counter({row.agent_id: row.load for row in tx.rows(_LOADS)})
    bound = []
    for network in tx.rows(_NETWORKS, {"ids": list(network_ids)}):
        has = known.get(network.id, set())
        candidates = [
            Candidate(row.id, row.host, loads[row.id], row.availability_zone)
            for row in alive
            if row.id not in has
        ]
        zones = network.availability_zone_hints
        for place in places[network.id]:
            there = [one for one in candidates if place is None or one.host in place]
            lacking = wanted - sum(1 for key in has if place is None or hosts.get(key) in place)
            for one in choose(there, max(lacking, 0), config.scheduler, config.dice, zones):
                loads[one.agent_id] += 1
                bound.append((network, one.agent_id, hosts[one.agent_id]))
    _bind(tx, context, bound, config)


def networks_schedule_unserved(tx: Tx, context: Context, config: NetworkConfig) -> None:
    """Find agents for networks that should have DHCP and have too little: an agent has appeared."""
    short = [row.id for row in tx.rows(_SHORT, {"wanted": config.dhcp_agents_per_network})]
    networks_schedule(tx, context, short, config)


def networks_leave_dead_agents(tx: Tx, context: Context, config: NetworkConfig) -> None:
    """Give networks of dead agents to living ones; one statement where none is dead."""
    if not config.move_from_dead_dhcp_agents:
        return
    since = {"since": config.alive_since(context.now)}
    if not tx.rows(_OF_DEAD.limit(1), since):
        return
    tx.lock(_LOCK)
    stranded = tx.rows(_OF_DEAD, since)
    ids = sorted({row.network_id for row in stranded})
    if not ids or not _look(tx, context, ids, config)[1]:
        return
    tx.execute(_UNBIND, {"agents": sorted({row.agent_id for row in stranded}), "networks": ids})
    _tell(tx, context, "network.dhcp_unbind", [tuple(row) for row in stranded])
    networks_schedule(tx, context, ids, config)
    dhcp_ports_sync(tx, context, ids, config)


def networks_served_by(tx: Tx, agent_ids: Collection[str]) -> list[str]:
    """The networks bound to some agents."""
    statement = select(dhcp_bindings.c.network_id).where(dhcp_bindings.c.agent_id.in_(list(agent_ids)))
    return sorted({row[0] for row in tx.rows(statement)})


def _look(
    tx: Tx, context: Context, network_ids: Sequence[str], config: NetworkConfig
) -> tuple[dict[str, set[str]], list[Row[Any]], set[str]]:
    """Read which agents the networks have, which agents could take more, and which of those that have some
    are routed."""
    since: dt.datetime = config.alive_since(context.now)
    served: dict[str, set[str]] = {}
    routed: set[str] = set()
    alive: dict[str, Row[Any]] = {}
    for row in tx.rows(_AGENTS_AND_NETWORKS, {"ids": list(network_ids)}):
        if row.network_id is not None:
            served.setdefault(row.network_id, set()).add(row.id)
            if row.routed:
                routed.add(row.network_id)
        if row.admin_state_up and row.heartbeat_timestamp >= since:
            alive[row.id] = row
    return served, list(alive.values()), routed


def _bind(
    tx: Tx, context: Context, several: Sequence[tuple[Row[Any], str, str]], config: NetworkConfig
) -> None:
    """Write bindings (network, agent's id, its host) and make the ports."""
    if not several:
        return
    tx.insert(
        dhcp_bindings,
        [
            {
                "network_id": network.id,
                "agent_id": agent_id,
                "status": PENDING,
                "reason": None,
                "bound_at": context.now,
            }
            for network, agent_id, _ in several
        ],
    )
    _tell(
        tx,
        context,
        "network.dhcp_bind",
        [(network.id, agent_id, host) for network, agent_id, host in several],
    )
    dhcp_ports_sync(tx, context, {network.id for network, _, _ in several}, config)


def _tell(tx: Tx, context: Context, kind: str, several: Sequence[tuple[Any, ...]]) -> None:
    tx.emit_many(
        [
            event(context, kind, network_id, None, [scopes.dhcp(host)], host=host, agent_id=agent_id)
            for network_id, agent_id, host in several
        ]
    )
