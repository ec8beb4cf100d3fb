"""Binding: which agents the hosts of some ports have, and the decision for each port."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import bindparam, select

from pileus.core.context import Context
from pileus.services.network.agents.tables import agents
from pileus.services.network.config import NetworkConfig
from pileus.services.network.networks.tables import networks
from pileus.services.network.rules.agent_types import SWITCH_AGENTS
from pileus.services.network.rules.binding import AgentFacts, Binding, bind
from pileus.store.tx import Tx


class NetworkFacts(NamedTuple):
    """What port units must know of a network."""

    id: str
    project_id: str
    network_type: str
    physical_network: str | None
    port_security_enabled: bool


_NETWORKS = select(
    networks.c.id,
    networks.c.project_id,
    networks.c.network_type,
    networks.c.physical_network,
    networks.c.port_security_enabled,
).where(networks.c.id.in_(bindparam("ids", expanding=True)))
_AGENTS = select(
    agents.c.host, agents.c.agent_type, agents.c.heartbeat_timestamp, agents.c.configurations
).where(
    agents.c.host.in_(bindparam("hosts", expanding=True)),
    agents.c.agent_type.in_(SWITCH_AGENTS),
)


def network_facts(tx: Tx, network_ids: Collection[str]) -> dict[str, NetworkFacts]:
    """The networks that exist, by id."""
    return {row.id: NetworkFacts(*tuple(row)) for row in tx.rows(_NETWORKS, {"ids": sorted(network_ids)})}


def bind_ports(
    tx: Tx,
    context: Context,
    ports: Sequence[Mapping[str, Any]],
    facts: Mapping[str, NetworkFacts],
    config: NetworkConfig,
) -> list[Binding]:
    """The outcome for each port, in order; one statement where any has a host."""
    hosts = sorted({port["binding:host_id"] for port in ports if port["binding:host_id"]})
    by_host: dict[str, list[AgentFacts]] = {}
    if hosts:
        since = config.alive_since(context.now)
        for row in tx.rows(_AGENTS, {"hosts": hosts}):
            by_host.setdefault(row.host, []).append(
                AgentFacts(row.agent_type, row.heartbeat_timestamp >= since, row.configurations)
            )
    outcomes = []
    for port in ports:
        network = facts[port["network_id"]]
        host = port["binding:host_id"]
        outcomes.append(
            bind(
                host,
                port["binding:vnic_type"],
                network.network_type,
                network.physical_network,
                by_host.get(host, ()),
            )
        )
    return outcomes
