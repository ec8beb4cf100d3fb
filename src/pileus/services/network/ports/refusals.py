"""Bindings that failed for good: no restart of the host's agents would bind the port there."""

from __future__ import annotations

from collections.abc import Sequence

from pileus.core.context import Context
from pileus.resource.declaration import Values
from pileus.services.network.config import NetworkConfig
from pileus.services.network.ports.binding import bind_port
from pileus.services.network.ports.facts import agents_by_host, network_facts
from pileus.services.network.rules.binding import BINDING_FAILED
from pileus.store.tx import Tx


def bindings_refused(
    tx: Tx, context: Context, ports: Sequence[Values], config: NetworkConfig
) -> dict[str, str]:
    """Why ports are not bound to their hosts, by id: those whose host has a switch agent that is alive.

    A port that waits for its host's agent to come back is bound then. No statement where all are bound.
    """
    failed = [port for port in ports if port["binding:vif_type"] == BINDING_FAILED]
    if not failed:
        return {}
    networks = network_facts(tx, {port["network_id"] for port in failed})
    agents = agents_by_host(tx, context, {port["binding:host_id"] for port in failed}, config)
    alive = {host: [agent for agent in there if agent.alive] for host, there in agents.items()}
    outcomes = {
        port["id"]: bind_port(port, networks, alive).reason
        for port in failed
        if alive.get(port["binding:host_id"])
    }
    return {port_id: reason for port_id, reason in outcomes.items() if reason}
