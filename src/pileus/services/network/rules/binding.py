"""Can this host carry this port, and how is it plugged there?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pileus.services.network.rules.agent_types import LINUX_BRIDGE_AGENT, SWITCH_AGENTS
from pileus.services.network.rules.segments import TUNNELS

UNBOUND, BINDING_FAILED = "unbound", "binding_failed"


class AgentFacts(NamedTuple):
    """An agent on the host, as the decision needs it."""

    agent_type: str
    alive: bool
    configurations: dict[str, Any]


class Binding(NamedTuple):
    """The outcome: ``reason`` says in a sentence why a binding failed (empty otherwise)."""

    vif_type: str
    vif_details: dict[str, Any]
    reason: str = ""


class NetworkSegment(NamedTuple):
    """A segment of a network."""

    id: str
    network_type: str
    physical_network: str | None = None
    segmentation_id: int | None = None


def connected(segments: Sequence[NetworkSegment], agents: Sequence[AgentFacts]) -> NetworkSegment | None:
    """Find the segment that the switch agents of a host lead to: the first that one of them carries."""
    for one in segments:
        for agent in agents:
            if agent.agent_type in SWITCH_AGENTS and not _lack(agent, one.network_type, one.physical_network):
                return one
    return None


def is_plugged(port: Mapping[str, Any]) -> bool:
    """Whether something carries the port: it is bound, and the binding did not fail."""
    return port["binding:vif_type"] not in (UNBOUND, BINDING_FAILED)


def bind(
    host: str,
    vnic_type: str,
    network_type: str,
    physical_network: str | None,
    agents: Iterable[AgentFacts],
) -> Binding:
    """Try the switch agents of ``host`` in turn; no host is no binding, which is no failure."""
    if not host:
        return Binding(UNBOUND, {})
    if vnic_type != "normal":
        return Binding(BINDING_FAILED, {}, f"no driver plugs ports of vnic_type {vnic_type}")
    reason = f"no switch agent has ever reported from host {host}"
    for agent in agents:
        refusal = _refusal(agent, network_type, physical_network)
        if refusal is None:
            if agent.agent_type == LINUX_BRIDGE_AGENT:
                return Binding("bridge", dict(_BRIDGE_DETAILS))
            return Binding("ovs", _details(agent.configurations))
        reason = refusal
    return Binding(BINDING_FAILED, {}, reason)


def _refusal(agent: AgentFacts, network_type: str, physical_network: str | None) -> str | None:
    if agent.agent_type not in SWITCH_AGENTS:
        return f"the {agent.agent_type} plugs no ports"
    if not agent.alive:
        return f"the {agent.agent_type} of the host is down"
    return _lack(agent, network_type, physical_network)


def _lack(agent: AgentFacts, network_type: str, physical_network: str | None) -> str | None:
    """Say what an agent lacks to carry a segment."""
    if network_type in TUNNELS:
        if network_type not in (agent.configurations.get("tunnel_types") or ()):
            return f"the {agent.agent_type} of the host has no {network_type} tunnels"
        return None
    if not network_type:
        return "the host is connected to no segment of the network"
    mappings = agent.configurations.get("bridge_mappings") or {}
    if agent.agent_type == LINUX_BRIDGE_AGENT:
        cards = agent.configurations.get("interface_mappings") or {}
        if physical_network not in cards and not (network_type == "flat" and physical_network in mappings):
            return f"the host has no network card for physical network {physical_network}"
    elif physical_network not in mappings:
        return f"the host has no bridge for physical network {physical_network}"
    return None


_BRIDGE_DETAILS = {"connectivity": "l2", "port_filter": True, "bound_drivers": {"0": "linuxbridge"}}


def _details(configurations: dict[str, Any]) -> dict[str, Any]:
    return {
        "connectivity": "l2",
        "port_filter": True,
        "ovs_hybrid_plug": False,
        "datapath_type": configurations.get("datapath_type", "system"),
        "bridge_name": configurations.get("integration_bridge", "br-int"),
        "bound_drivers": {"0": "openvswitch"},
    }
