"""The agents of one node, made of its parts: the same for real and for simulated nodes."""

from __future__ import annotations

from typing import Any

import msgspec

from pileus.app.nodes.parts import NodeParts, RouterParts
from pileus.app.settings import Settings
from pileus.bus.client import WireClient
from pileus.core.clock import Clock, SystemClock
from pileus.host.agent import Agent, AgentSettings
from pileus.host.blockdev.agent import StorageAgent
from pileus.host.dhcp import agent as dhcp
from pileus.host.dhcp.agent import DhcpAgent
from pileus.host.gateways.agent import GatewayAgent
from pileus.host.hypervisor.agent import HypervisorAgent
from pileus.host.hypervisor.inventory import memory_used_mib
from pileus.host.l2.agent import SwitchAgent
from pileus.host.l2.device_agent import DeviceAgent
from pileus.host.l2.metered import counted
from pileus.host.l2.settings import OWNER
from pileus.host.l2.silence import Silence
from pileus.host.l3 import agent as l3
from pileus.host.l3.agent import L3Agent
from pileus.host.linuxbridge.agent import LinuxBridgeAgent
from pileus.host.metadata.agent import MetadataAgent
from pileus.host.metering.agent import Counters, MeteringAgent
from pileus.host.namespaces.agent import NamespaceSettings
from pileus.host.physical.agent import PhysicalSwitchAgent
from pileus.host.uplinks.apply import Uplinks


class NodeAgents(msgspec.Struct, frozen=True):
    """``metadata`` answers guests at the addresses that the agents ``namespaces`` (DHCP, L3) make; there is
    none without those."""

    switch: DeviceAgent
    metadata: MetadataAgent | None
    namespaces: tuple[DhcpAgent | L3Agent, ...]
    metering: MeteringAgent | None
    machines: HypervisorAgent | None
    gateways: GatewayAgent | None
    storage: StorageAgent | None
    physical: PhysicalSwitchAgent | None

    def all(self) -> list[Agent]:
        """Every agent, in the order of their start."""
        return [
            agent
            for agent in (
                *(self.switch, self.metadata, *self.namespaces, self.metering),
                *(self.machines, self.gateways, self.storage, self.physical),
            )
            if agent is not None
        ]


def node_agents(settings: Settings, host: str, server: WireClient, parts: NodeParts) -> NodeAgents:
    """Make the agents of the node ``host``; none of them runs yet."""
    node = AgentSettings(
        host=host,
        availability_zone=settings.agent.availability_zone,
        full_pass_interval_s=settings.agent.resync_interval_s,
    )
    clock, switch, switches = SystemClock(), parts.switch, parts.physical_switches
    wiring = _switch_agent(node, server, clock, parts)
    metadata = MetadataAgent(node, server, clock, parts.listeners)
    namespaces: list[DhcpAgent | L3Agent] = []
    counters: list[Counters] = []
    if (flows := switch.flows) is not None:
        counters.append(lambda: counted(flows, switch.bridges.integration_bridge, wiring.model))

    def namespace_settings(prefix: str) -> NamespaceSettings:
        return NamespaceSettings(
            namespace_prefix=prefix,
            integration_bridge=switch.bridges.integration_bridge,
            watch_interval_s=parts.watch_interval_s,
        )

    if parts.dhcp is not None:
        namespaces.append(
            DhcpAgent(
                *(node, server, clock, switch.client, parts.links, parts.dhcp),
                metadata=metadata,
                namespaces=namespace_settings(dhcp.NAMESPACE_PREFIX),
            )
        )
    if (router := parts.router) is not None:
        routing = L3Agent(
            *(node, server, clock, switch.client, parts.links, router.packet_filter, router.advertisers),
            **_helpers(router),
            agent_mode=settings.agent.l3_agent_mode,
            metadata=metadata,
            namespaces=namespace_settings(l3.NAMESPACE_PREFIX),
        )
        namespaces.append(routing)
        counters.append(routing.counted)
    machines = gateways = None
    if (some := parts.machines) is not None:
        machines = HypervisorAgent(
            *(node, some.settings, server, clock, some.hypervisor, some.images, some.cache),
            *(parts.links, switch.client),
            memory_used=some.memory_used or memory_used_mib,
        )
        gateways = GatewayAgent(node, server, clock, some.hypervisor)
        counters.append(gateways.counted)
    return NodeAgents(
        switch=wiring,
        metadata=metadata if namespaces else None,
        namespaces=tuple(namespaces),
        metering=MeteringAgent(node, server, clock, *counters) if counters else None,
        machines=machines,
        gateways=gateways,
        storage=_storage_agent(node, server, clock, parts),
        physical=PhysicalSwitchAgent(node, server, clock, switches) if switches else None,
    )


def _helpers(router: RouterParts) -> dict[str, Any]:
    """Return the parts that an L3 agent may lack."""
    return {
        "virtual_routers": router.virtual_routers,
        "bfd_routers": router.bfd_routers,
        "prefix_clients": router.prefix_clients,
    }


def _storage_agent(
    node: AgentSettings, server: WireClient, clock: Clock, parts: NodeParts
) -> StorageAgent | None:
    if (some := parts.storage) is None:
        return None
    return StorageAgent(
        *(node, some.settings, server, clock, some.pools, some.cache, some.backups),
        exporters=some.exporters,
    )


def _switch_agent(node: AgentSettings, server: WireClient, clock: Clock, parts: NodeParts) -> DeviceAgent:
    switch = parts.switch
    if (bridges := parts.linux_bridges) is not None:
        return LinuxBridgeAgent(
            *(node, bridges.settings, server, clock, switch.client),
            *(bridges.bridges, bridges.packet_filter),
            tracker=bridges.tracker,
        )
    assert switch.flows is not None, "a node has an Open vSwitch or Linux bridges"
    return SwitchAgent(
        *(node, switch.bridges, server, clock, switch.client, switch.flows),
        silence=Silence(switch.silencer) if switch.silencer is not None else None,
        uplinks=_uplinks(parts),
        polices=switch.polices,
        queues=switch.queues,
        leases=switch.leases,
    )


def _uplinks(parts: NodeParts) -> Uplinks:
    switch = parts.switch
    return Uplinks(
        *(switch.network, switch.client, switch.cards or parts.links),
        datapath_type=switch.bridges.datapath_type,
        mapped=[bridge for _, bridge in switch.bridges.bridge_mappings],
        lower_owner=OWNER,
    )
