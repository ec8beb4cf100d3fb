"""Scheduling routers of high availability: to as many agents as the settings say, each with a port on the
router's HA network. They leave an agent by request or when it is deleted, not when it dies: others are ready.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, bindparam, delete, func, select

from pileus.core.context import Context
from pileus.core.errors import Conflict
from pileus.resource.rows import fetch
from pileus.services.network.agents.tables import agents
from pileus.services.network.config import NetworkConfig
from pileus.services.network.ports.defaults import elevated, new_port
from pileus.services.network.ports.delete import delete_ports
from pileus.services.network.ports.resource import PORT
from pileus.services.network.ports.work import port_create
from pileus.services.network.routers.ha_networks import ha_networks_of
from pileus.services.network.routers.scheduling import (
    BOUND,
    LOCK,
    agents_alive,
    gateway_networks,
    loads_of,
    routers_bind_ports,
)
from pileus.services.network.routers.tables import router_bindings, router_ports, routers
from pileus.services.network.routers.telling import port_scopes, tell
from pileus.services.network.rules import device_owners, ha_states
from pileus.services.network.rules.scheduling import Candidate, choose, serves_router
from pileus.store.tx import Tx


class HANotEnoughAvailableAgents(Conflict):
    message = (
        "Not enough l3 agents available to ensure HA. Minimum required {min_agents}, available {num_agents}."
    )


_ROUTERS = (
    select(
        routers.c.id,
        routers.c.project_id,
        routers.c.availability_zone_hints,
        routers.c.distributed,
    )
    .where(routers.c.id.in_(bindparam("ids", expanding=True)), routers.c.ha)
    .order_by(routers.c.id)
)
_COUNTS = (
    select(routers.c.id, func.count(router_bindings.c.agent_id).label("hosts"))
    .select_from(routers.outerjoin(router_bindings, router_bindings.c.router_id == routers.c.id))
    .where(routers.c.ha)
    .group_by(routers.c.id)
    .order_by(routers.c.id)
)
_OF_AGENTS = (
    select(
        router_bindings.c.router_id,
        router_bindings.c.agent_id,
        router_bindings.c.ha_port_id,
        agents.c.host,
    )
    .select_from(router_bindings.join(agents, agents.c.id == router_bindings.c.agent_id))
    .where(
        router_bindings.c.agent_id.in_(bindparam("agents", expanding=True)),
        router_bindings.c.ha_port_id.is_not(None),
    )
)
_UNBIND = delete(router_bindings).where(
    router_bindings.c.router_id == bindparam("router"), router_bindings.c.agent_id == bindparam("agent")
)
_DISOWN = delete(router_ports).where(router_ports.c.port_id.in_(bindparam("ids", expanding=True)))


def ha_routers_check_agents(tx: Tx, context: Context, config: NetworkConfig) -> None:
    """HANotEnoughAvailableAgents where fewer agents live than the settings ask for; else no statement."""
    least = config.min_l3_agents_per_router
    if not least:
        return
    count = len(agents_alive(tx, context, config))
    if count < least:
        raise HANotEnoughAvailableAgents(min_agents=least, num_agents=count)


def ha_routers_schedule(tx: Tx, context: Context, router_ids: Sequence[str], config: NetworkConfig) -> None:
    """Find agents for routers of high availability that have fewer than they should."""
    if not router_ids:
        return
    tx.lock(LOCK)
    alive = agents_alive(tx, context, config)
    ids = {"ids": list(router_ids)}
    holding: dict[str, set[str]] = {}
    for row in tx.rows(BOUND, ids) if alive else ():
        holding.setdefault(row.router_id, set()).add(row.agent_id)
    most = config.max_l3_agents_per_router or len(alive)
    wanting = [one for one in router_ids if len(holding.get(one, ())) < most]
    if not alive or not wanting:
        return
    loads: Counter[str] = loads_of(tx)
    outside = gateway_networks(tx, wanting)
    chosen: list[tuple[Row[Any], Candidate]] = []
    for router in tx.rows(_ROUTERS, {"ids": wanting}):
        has = holding.get(router.id, set())
        candidates = [
            Candidate(row.agent_id, row.host, loads[row.agent_id], row.availability_zone)
            for row in alive
            if row.agent_id not in has
            and serves_router(row.configurations, router.id, outside.get(router.id), router.distributed)
        ]
        zones = router.availability_zone_hints
        for one in choose(candidates, most - len(has), config.scheduler, config.dice, zones):
            loads[one.agent_id] += 1
            chosen.append((router, one))
    ha_bind(tx, context, [(router.id, router.project_id, one) for router, one in chosen], config)


def ha_routers_fill_up(tx: Tx, context: Context, config: NetworkConfig) -> None:
    """An agent has appeared: it takes routers of high availability that have too few agents."""
    counts = tx.rows(_COUNTS)
    most = config.max_l3_agents_per_router
    ha_routers_schedule(tx, context, [row.id for row in counts if not most or row.hosts < most], config)


def ha_bind(
    tx: Tx, context: Context, several: Sequence[tuple[str, str, Candidate]], config: NetworkConfig
) -> None:
    """Bind routers ``(id, project, agent)``, each with a port on its HA network."""
    if not several:
        return
    ids = sorted({router_id for router_id, _, _ in several})
    networks = ha_networks_of(tx, ids)
    as_admin = elevated(context)
    specs = [
        new_port(
            as_admin,
            project_id="",
            name=f"HA port project {project_id}",
            network_id=networks[router_id],
            device_id=router_id,
            device_owner=device_owners.ROUTER_HA,
            **{"binding:host_id": one.host},
        )
        for router_id, project_id, one in several
    ]
    made = port_create(tx, as_admin, specs, config=config)
    tx.insert(
        router_ports,
        [
            {"port_id": port["id"], "router_id": port["device_id"], "port_type": device_owners.ROUTER_HA}
            for port in made
        ],
    )
    taken: dict[str, set[int]] = {router_id: set() for router_id in ids}
    for row in tx.rows(BOUND, {"ids": ids}):
        taken[row.router_id].add(row.binding_index)
    rows = []
    for (router_id, _, one), port in zip(several, made, strict=True):
        index = next(number for number in range(1, 1000) if number not in taken[router_id])
        taken[router_id].add(index)
        rows.append(
            {
                "router_id": router_id,
                "binding_index": index,
                "agent_id": one.agent_id,
                "bound_at": context.now,
                "ha_port_id": port["id"],
                "ha_state": ha_states.STANDBY,
                "ha_state_at": context.now,
            }
        )
    tx.insert(router_bindings, rows)
    bound = [(router_id, one.agent_id, one.host) for router_id, _, one in several]
    tell(tx, context, "router.bind", bound, port_scopes(tx, ids, device_owners.REPLICATED))
    routers_bind_ports(tx, context, ids, config)


def ha_unbind(tx: Tx, context: Context, rows: Sequence[Row[Any]], config: NetworkConfig) -> None:
    """Take routers from agents (rows of bindings), with their ports on the HA networks."""
    if not rows:
        return
    tx.execute(_UNBIND, [{"router": row.router_id, "agent": row.agent_id} for row in rows])
    own = [row.ha_port_id for row in rows]
    tx.execute(_DISOWN, {"ids": own})
    delete_ports(tx, elevated(context), fetch(tx, PORT, own, lock=True), config)
    unbound = [(row.router_id, row.agent_id, row.host) for row in rows]
    ids = sorted({row.router_id for row in rows})
    tell(tx, context, "router.unbind", unbound, port_scopes(tx, ids, device_owners.REPLICATED))


def ha_agents_deleting(
    tx: Tx, context: Context, agent_ids: Collection[str], config: NetworkConfig
) -> Callable[[], list[str]]:
    """Take routers of high availability from agents that are deleted; afterwards others fill their places."""
    rows = tx.rows(_OF_AGENTS, {"agents": list(agent_ids)})
    ha_unbind(tx, context, rows, config)
    ids = sorted({row.router_id for row in rows})

    def after() -> list[str]:
        ha_routers_schedule(tx, context, ids, config)
        routers_bind_ports(tx, context, ids, config)
        return ids

    return after


def states_of(tx: Tx, router_id: str, alive_since: dt.datetime) -> Mapping[str, str | None]:
    """The states of a router on its agents, by the agents' ids; nobody knows that on a dead one."""
    return {
        row.agent_id: row.ha_state
        if row.ha_state is None or row.heartbeat_timestamp >= alive_since
        else ha_states.UNKNOWN
        for row in tx.rows(BOUND, {"ids": [router_id]})
    }
