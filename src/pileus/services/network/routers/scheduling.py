"""Scheduling routers to L3 agents: by request, with a router's first gateway or interface, when an agent
appears, is disabled, and when one dies. A router's ports are bound to the host of the agent that serves it
(``handovers``) and follow it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, and_, bindparam, delete, exists, func, literal, null, select, union_all

from pileus.core.context import Context
from pileus.core.errors import Conflict
from pileus.resource.declaration import Update, Values
from pileus.resource.rows import fetch
from pileus.services.network.agents.tables import agents
from pileus.services.network.config import NetworkConfig
from pileus.services.network.ports.defaults import elevated
from pileus.services.network.ports.resource import PORT
from pileus.services.network.ports.tables import ports
from pileus.services.network.ports.update import update_ports
from pileus.services.network.routers.handovers import (
    ANY_OVER,
    ENDING,
    WAITING,
    handovers_begin,
    handovers_end,
    handovers_enter,
    handovers_over,
    last_agents,
    over_before,
)
from pileus.services.network.routers.tables import (
    router_bindings,
    router_handovers,
    router_ports,
    routers,
)
from pileus.services.network.routers.telling import port_scopes, tell
from pileus.services.network.routers.unserved import floating_ips_fall
from pileus.services.network.rules import device_owners, ha_states
from pileus.services.network.rules.agent_types import L3_AGENT
from pileus.services.network.rules.scheduling import Candidate, choose, serves_router
from pileus.store.tx import Tx

LOCK = "schedule:l3"
_MOVED = [one for one in device_owners.OF_ROUTERS if one not in device_owners.OF_ONE_HOST]


class RouterReschedulingFailed(Conflict):
    message = "Failed rescheduling router {router_id}: no eligible l3 agent found."


# Every L3 agent, once for each of the routers that it hosts (or once, with no router).
_AGENTS_AND_ROUTERS = (
    select(
        agents.c.id.label("agent_id"),
        agents.c.host,
        agents.c.admin_state_up,
        agents.c.heartbeat_timestamp,
        agents.c.availability_zone,
        agents.c.configurations,
        router_bindings.c.router_id,
        router_bindings.c.binding_index,
        router_bindings.c.ha_state,
        router_bindings.c.ha_state_at,
        routers.c.distributed,
    )
    .select_from(
        agents.outerjoin(
            router_bindings,
            and_(
                router_bindings.c.agent_id == agents.c.id,
                router_bindings.c.router_id.in_(bindparam("ids", expanding=True)),
            ),
        ).outerjoin(routers, routers.c.id == router_bindings.c.router_id)
    )
    .where(agents.c.agent_type == L3_AGENT)
    .order_by(agents.c.id)
)
_LOADS = select(router_bindings.c.agent_id, func.count().label("load")).group_by(router_bindings.c.agent_id)
_ROUTERS = (
    select(
        routers.c.id,
        routers.c.project_id,
        routers.c.availability_zone_hints,
        routers.c.distributed,
        router_handovers.c.agent_id.label("last_agent_id"),
    )
    .select_from(routers.outerjoin(router_handovers, router_handovers.c.router_id == routers.c.id))
    .where(routers.c.id.in_(bindparam("ids", expanding=True)), ~routers.c.ha, ~routers.c.gateway_vm)
    .order_by(routers.c.id)
)
_PORTS = select(router_ports.c.port_id, router_ports.c.router_id).where(
    router_ports.c.router_id.in_(bindparam("ids", expanding=True)),
    router_ports.c.port_type.not_in(device_owners.OF_ONE_HOST),
)
_GATEWAY_NETWORKS = (
    select(router_ports.c.router_id, ports.c.network_id)
    .select_from(router_ports.join(ports, ports.c.id == router_ports.c.port_id))
    .where(
        router_ports.c.port_type == device_owners.ROUTER_GATEWAY,
        router_ports.c.router_id.in_(bindparam("ids", expanding=True)),
    )
)
_UNHOSTED = (
    select(routers.c.id)
    .where(
        ~routers.c.ha,
        ~routers.c.gateway_vm,
        ~select(router_bindings.c.router_id).where(router_bindings.c.router_id == routers.c.id).exists(),
        select(router_ports.c.port_id).where(router_ports.c.router_id == routers.c.id).exists(),
    )
    .order_by(routers.c.id)
)
_OF_DEAD = (
    select(router_bindings.c.router_id, router_bindings.c.agent_id, agents.c.host)
    .select_from(agents.join(router_bindings, router_bindings.c.agent_id == agents.c.id))
    .where(
        agents.c.agent_type == L3_AGENT,
        agents.c.admin_state_up,
        agents.c.heartbeat_timestamp < bindparam("since"),
        # Of these another agent is ready.
        router_bindings.c.ha_state.is_(None),
    )
    .order_by(router_bindings.c.router_id)
)
_ANY_STRANDED = select(
    exists(_OF_DEAD.with_only_columns(router_bindings.c.router_id)).label("any_dead"),
    ANY_OVER.label("any_over"),
)
_UNBIND = delete(router_bindings).where(router_bindings.c.router_id.in_(bindparam("ids", expanding=True)))
BOUND = (
    select(
        router_bindings.c.router_id,
        router_bindings.c.binding_index,
        router_bindings.c.agent_id,
        router_bindings.c.ha_port_id,
        router_bindings.c.ha_state,
        router_bindings.c.ha_state_at,
        agents.c.host,
        agents.c.heartbeat_timestamp,
    )
    .select_from(router_bindings.join(agents, agents.c.id == router_bindings.c.agent_id))
    .where(router_bindings.c.router_id.in_(bindparam("ids", expanding=True)))
)

# Who still serves a router goes before whom it is bound to.
_SERVING = union_all(
    BOUND,
    select(
        router_handovers.c.router_id,
        literal(0),
        router_handovers.c.agent_id,
        null(),
        null(),
        null(),
        agents.c.host,
        agents.c.heartbeat_timestamp,
    )
    .select_from(router_handovers.join(agents, agents.c.id == router_handovers.c.agent_id))
    .where(
        router_handovers.c.router_id.in_(bindparam("ids", expanding=True)),
        router_handovers.c.phase != ENDING,
    ),
)
_OF_AGENTS = (
    select(
        router_bindings.c.router_id, router_bindings.c.agent_id, agents.c.host, agents.c.heartbeat_timestamp
    )
    .select_from(router_bindings.join(agents, agents.c.id == router_bindings.c.agent_id))
    .where(
        router_bindings.c.agent_id.in_(bindparam("agents", expanding=True)),
        agents.c.agent_type == L3_AGENT,
        router_bindings.c.ha_state.is_(None),
    )
    .order_by(router_bindings.c.router_id)
)


def routers_host(
    tx: Tx, context: Context, outside: Mapping[str, str | None], config: NetworkConfig
) -> dict[str, str]:
    """The hosts of routers that get a gateway or an interface: ``{router id: host}``, without those that
    no agent can take. ``outside`` maps each router to the network of the gateway that it has or gets.

    One statement where they have their agents, or where there is none. An agent that may not serve the new
    gateway gives its router to another, RouterReschedulingFailed where there is none.
    """
    known, alive = _look(tx, context, list(outside), config)
    leaving = [
        row
        for one, row in known.items()
        if row.ha_state is None and not serves_router(row.configurations, one, outside[one], row.distributed)
    ]
    if leaving:
        unbind(tx, context, leaving)
    moving = [row.router_id for row in leaving]
    hosts = {one: row.host for one, row in known.items() if one not in moving}
    homeless = {one: network_id for one, network_id in outside.items() if one not in hosts}
    if homeless and alive:
        hosts |= _schedule(tx, context, homeless, config)
    lost = [one for one in moving if one not in hosts]
    if lost:
        raise RouterReschedulingFailed(router_id=lost[0])
    routers_bind_ports(tx, context, moving, config)
    return hosts


def routers_schedule(tx: Tx, context: Context, router_ids: Sequence[str], config: NetworkConfig) -> None:
    """Find agents for routers that have none, and bring their ports there."""
    if not router_ids:
        return
    outside: dict[str, str | None] = {**dict.fromkeys(router_ids), **gateway_networks(tx, router_ids)}
    routers_bind_ports(tx, context, sorted(_schedule(tx, context, outside, config)), config)


def routers_schedule_unhosted(tx: Tx, context: Context, config: NetworkConfig) -> None:
    """Find agents for routers without one: an agent has appeared, or is up again (seed 003)."""
    routers_schedule(tx, context, [row.id for row in tx.rows(_UNHOSTED)], config)


def routers_leave_agents(tx: Tx, context: Context, config: NetworkConfig) -> None:
    """Move routers of dead agents to living ones, and end what is served by agents that a request took it
    from a while ago; one statement where there is neither."""
    since = {"since": config.alive_since(context.now)}
    moments = over_before(context, config)
    found = tx.first(_ANY_STRANDED, {**since, **moments})
    assert found is not None  # it is of one row
    if found.any_over:
        tx.lock(LOCK)
        routers_end_handovers(tx, context, [row.router_id for row in handovers_over(tx, moments)], config)
    if not found.any_dead or not config.move_from_dead_l3_agents:
        return
    tx.lock(LOCK)
    stranded = tx.rows(_OF_DEAD, since)
    ids = [row.router_id for row in stranded]
    if not ids or not _look(tx, context, ids, config)[1]:
        return
    unbind(tx, context, stranded)
    routers_schedule(tx, context, ids, config)
    routers_bind_ports(tx, context, ids, config)


def routers_leave_disabled_agents(
    tx: Tx, context: Context, agent_ids: Sequence[str], config: NetworkConfig
) -> None:
    """Move routers of agents that were disabled to others; those that no other can take stay."""
    if not config.move_from_dead_l3_agents:
        return
    tx.lock(LOCK)
    leaving = {row.router_id: row for row in tx.rows(_OF_AGENTS, {"agents": list(agent_ids)})}
    alive = _look(tx, context, (), config)[1] if leaving else []
    if not alive:
        return
    outside = {**dict.fromkeys(leaving), **gateway_networks(tx, list(leaving))}
    chosen = _choose(tx, tx.rows(_ROUTERS, {"ids": list(leaving)}), outside, alive, config)
    moving = [leaving[router_id] for router_id, _, _ in chosen]
    handovers_begin(tx, context, moving, config)
    unbind(tx, context, moving)
    bind(tx, context, chosen)
    routers_follow(tx, context, [router_id for router_id, _, _ in chosen], config)


def routers_follow(tx: Tx, context: Context, router_ids: Sequence[str], config: NetworkConfig) -> None:
    """Routers were bound: their ports follow at once, or when the agent that serves them still can end."""
    _meet_last_agents(tx, context, router_ids, config)
    routers_bind_ports(tx, context, router_ids, config)


def _meet_last_agents(tx: Tx, context: Context, router_ids: Sequence[str], config: NetworkConfig) -> None:
    """Hosts of routers' networks send to the agents that still serve them, and to those that got them; one
    that got back what it serves still, or gets it from a dead one, serves at once."""
    last = last_agents(tx, router_ids) if router_ids else {}
    if not last:
        return
    since = config.alive_since(context.now)
    bound = {row.router_id: row.agent_id for row in tx.rows(BOUND, {"ids": list(last)})}
    over = [
        one
        for one, row in last.items()
        if row.agent_id == bound.get(one) or row.heartbeat_timestamp < since or row.phase == ENDING
    ]
    handovers_end(tx, over)
    if going_on := last.keys() - set(over):
        handovers_enter(tx, context, sorted(going_on), WAITING)
    _tell_of_ports(tx, context, "router.handover_waiting", list(last.values()))


def routers_hand_over(
    tx: Tx, context: Context, router_ids: Sequence[str], phase: str, config: NetworkConfig
) -> None:
    """Let the agents that routers are bound to begin to serve them, or (``ENDING``) serve them alone soon."""
    last = last_agents(tx, router_ids)
    if not last:
        return
    handovers_enter(tx, context, list(last), phase)
    if phase == ENDING:
        routers_bind_ports(tx, context, list(last), config)
        _tell_of_ports(tx, context, "router.handover_ending", list(last.values()))
    else:
        told = [(row.router_id, row.agent_id, row.host) for row in last.values()]
        tell(tx, context, "router.handover_both", told)


def routers_end_handovers(tx: Tx, context: Context, router_ids: Sequence[str], config: NetworkConfig) -> None:
    """End the serving of routers by the agents that they left."""
    last = last_agents(tx, router_ids)
    if not last:
        return
    handovers_end(tx, last)
    routers_bind_ports(tx, context, list(last), config)
    _tell_of_ports(tx, context, "router.handover_over", list(last.values()))


def _tell_of_ports(tx: Tx, context: Context, kind: str, rows: Sequence[Row[Any]]) -> None:
    told = port_scopes(tx, [row.router_id for row in rows], _MOVED)
    tell(tx, context, kind, [(row.router_id, row.agent_id, row.host) for row in rows], told)


def routers_served_by(tx: Tx, agent_ids: Collection[str]) -> list[str]:
    """The routers that some agents host, and no others hold ready."""
    statement = select(router_bindings.c.router_id).where(
        router_bindings.c.agent_id.in_(list(agent_ids)), router_bindings.c.ha_state.is_(None)
    )
    return sorted(row[0] for row in tx.rows(statement))


def routers_bind_ports(tx: Tx, context: Context, router_ids: Sequence[str], config: NetworkConfig) -> None:
    """Bind the ports of routers to the hosts that serve the routers now, or to none: then their floating IPs
    are DOWN."""
    if not router_ids:
        return
    ids = {"ids": list(router_ids)}
    serving: dict[str, list[Row[Any]]] = {}
    for row in tx.rows(_SERVING, ids):
        serving.setdefault(row.router_id, []).append(row)
    hosts = {one: ha_states.leading(rows).host for one, rows in serving.items()}
    wanted = {row.port_id: hosts.get(row.router_id, "") for row in tx.rows(_PORTS, ids)}
    updates = [
        Update(port, Values({"binding:host_id": wanted[port["id"]]}))
        for port in fetch(tx, PORT, sorted(wanted), lock=True)
        if port["binding:host_id"] != wanted[port["id"]]
    ]
    if updates:
        update_ports(tx, elevated(context), updates, config=config)
    if unserved := [one for one in router_ids if one not in hosts]:
        floating_ips_fall(tx, context, unserved)


def _look(
    tx: Tx, context: Context, router_ids: Sequence[str], config: NetworkConfig
) -> tuple[dict[str, Row[Any]], list[Row[Any]]]:
    """The agents that the routers have, and those that could take more."""
    since = config.alive_since(context.now)
    hosting: dict[str, Row[Any]] = {}
    alive: dict[str, Row[Any]] = {}
    for row in tx.rows(_AGENTS_AND_ROUTERS, {"ids": list(router_ids)}):
        if row.router_id is not None:
            hosting[row.router_id] = ha_states.leading(
                [row, *([hosting[row.router_id]] if row.router_id in hosting else [])]
            )
        if row.admin_state_up and row.heartbeat_timestamp >= since:
            alive[row.agent_id] = row
    return hosting, list(alive.values())


def _schedule(
    tx: Tx, context: Context, outside: Mapping[str, str | None], config: NetworkConfig
) -> dict[str, str]:
    """Choose and write; the hosts of those of the routers that have an agent now."""
    tx.lock(LOCK)
    hosting, alive = _look(tx, context, list(outside), config)
    if not alive:
        return {}
    homeless = [row for row in tx.rows(_ROUTERS, {"ids": list(outside)}) if row.id not in hosting]
    bound = _choose(tx, homeless, outside, alive, config)
    bind(tx, context, bound)
    _meet_last_agents(tx, context, [row.id for row in homeless if row.last_agent_id is not None], config)
    return {router_id: row.host for router_id, row in hosting.items()} | {
        router_id: host for router_id, _, host in bound
    }


def _choose(
    tx: Tx,
    homeless: Sequence[Row[Any]],
    outside: Mapping[str, str | None],
    alive: Sequence[Row[Any]],
    config: NetworkConfig,
) -> list[tuple[str, str, str]]:
    """Choose an agent for each router that one can take: ``(router, agent, host)``."""
    loads = loads_of(tx)
    bound = []
    for router in homeless:
        candidates = [
            Candidate(row.agent_id, row.host, loads[row.agent_id], row.availability_zone)
            for row in alive
            if serves_router(row.configurations, router.id, outside[router.id], router.distributed)
        ]
        zones = router.availability_zone_hints
        for one in choose(candidates, 1, config.scheduler, config.dice, zones):
            loads[one.agent_id] += 1
            bound.append((router.id, one.agent_id, one.host))
    return bound


def loads_of(tx: Tx) -> Counter[str]:
    """How many routers each agent has."""
    return Counter({row.agent_id: row.load for row in tx.rows(_LOADS)})


def gateway_networks(tx: Tx, router_ids: Sequence[str]) -> dict[str, str]:
    """The external networks of routers that have a gateway."""
    return {row.router_id: row.network_id for row in tx.rows(_GATEWAY_NETWORKS, {"ids": list(router_ids)})}


def agents_alive(tx: Tx, context: Context, config: NetworkConfig) -> list[Row[Any]]:
    """The agents that could take routers."""
    return _look(tx, context, (), config)[1]


def bind(tx: Tx, context: Context, several: Sequence[tuple[str, str, str]]) -> None:
    """Bind routers ``(id, agent, host)``, each to its only agent."""
    tx.insert(
        router_bindings,
        [
            {"router_id": router_id, "binding_index": 1, "agent_id": agent_id, "bound_at": context.now}
            for router_id, agent_id, _ in several
        ],
    )
    tell(tx, context, "router.bind", several)


def unbind(tx: Tx, context: Context, rows: Sequence[Row[Any]]) -> None:
    """Take routers from their only agents (rows of bindings)."""
    if not rows:
        return
    tx.execute(_UNBIND, {"ids": [row.router_id for row in rows]})
    _tell_of_ports(tx, context, "router.unbind", rows)
