"""Binding: the decision for each port, by the agents of its host. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.services.network.ports.facts import NetworkFacts
from pileus.services.network.rules.agent_types import OPEN_VSWITCH_AGENT
from pileus.services.network.rules.binding import (
    BINDING_FAILED,
    AgentFacts,
    Binding,
    bind,
    connected,
)


def bind_port(
    port: Mapping[str, Any],
    networks: Mapping[str, NetworkFacts],
    agents: Mapping[str, list[AgentFacts]],
) -> Binding:
    """Decide what a port is bound to, or why to nothing."""
    network = networks[port["network_id"]]
    host = port["binding:host_id"]
    there = agents.get(host, [])
    kind, physical_network = network.network_type, network.physical_network
    if network.has_several:
        segment = connected(network.segments, there)
        kind, physical_network = (segment.network_type, segment.physical_network) if segment else ("", None)
    if network.passes_tags and there and all(one.agent_type != OPEN_VSWITCH_AGENT for one in there):
        return Binding(BINDING_FAILED, {}, f"only the {OPEN_VSWITCH_AGENT} carries frames that guests tag")
    return bind(host, port["binding:vnic_type"], kind, physical_network, there)
