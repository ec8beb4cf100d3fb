"""The DHCP, L3 and metadata agents of a node, real and simulated, put together."""

from __future__ import annotations

from pathlib import Path

from pileus.app.nodes.limits import raise_limits
from pileus.app.state import StateFolder
from pileus.core import log
from pileus.core.clock import SystemClock
from pileus.core.settings import Settings
from pileus.drivers.advertising.linux import LinuxAdvertisers
from pileus.drivers.advertising.simulated import SimulatedAdvertisers
from pileus.drivers.dnsmasq import driver as dnsmasq
from pileus.drivers.dnsmasq.simulated import SimulatedDhcp
from pileus.drivers.listening.linux import LinuxListeners
from pileus.drivers.listening.simulated import SimulatedListeners
from pileus.drivers.netlink.links import Links
from pileus.drivers.netlink.linux import LinuxLinks
from pileus.drivers.netlink.simulated import SimulatedLinks
from pileus.drivers.nft import driver as nft
from pileus.drivers.nft.simulated import SimulatedFilter
from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.host.agent import Agent, AgentSettings, Server
from pileus.host.dhcp import agent as dhcp
from pileus.host.dhcp.agent import DhcpAgent
from pileus.host.l3 import agent as l3
from pileus.host.l3.agent import L3Agent
from pileus.host.metadata.agent import MetadataAgent
from pileus.host.spaces.agent import SpaceSettings

logger = log.get("agent")

SIMULATED_WATCH_S = 60.0
"""A simulated part ends only when somebody ends it: it need not be looked at often."""

SpaceAgents = list[DhcpAgent | L3Agent]


def real_agents(
    folder: StateFolder, settings: Settings, node: AgentSettings, server: Server, client: OvsdbClient
) -> list[Agent]:
    """What this node does for networks besides switching; ``client`` is of its switch, and is closed by
    the caller. What it lacks a program for is left out, and said in the log."""
    metadata = MetadataAgent(node, server, SystemClock(), LinuxListeners())
    spaces = _real_spaces(folder, settings, node, server, client, metadata)
    return [metadata, *spaces] if spaces else []


def real_spaces(
    folder: StateFolder, settings: Settings, node: AgentSettings, server: Server, client: OvsdbClient
) -> SpaceAgents:
    """The agents whose work is to be purged."""
    return _real_spaces(folder, settings, node, server, client, None)


def _real_spaces(
    folder: StateFolder,
    settings: Settings,
    node: AgentSettings,
    server: Server,
    client: OvsdbClient,
    doors: MetadataAgent | None,
) -> SpaceAgents:
    links = LinuxLinks()
    found: SpaceAgents = []
    missing = {"dhcp": dnsmasq.missing_programs(), "l3": nft.missing_programs()}
    for duty in settings.agent.duties:
        if missing[duty]:
            logger.warning("this node lacks programs", duty=duty, programs=missing[duty])
    if "dhcp" in settings.agent.duties and not missing["dhcp"]:
        if raised := raise_limits(folder.limits):
            logger.info("raised limits of the kernel for many networks", limits=list(raised))
        servers = dnsmasq.Dnsmasq(folder.dhcp)
        spaces = _spaces(settings, dhcp.NAMESPACE_PREFIX)
        clock = SystemClock()
        found.append(DhcpAgent(node, server, clock, client, links, servers, doors=doors, spaces=spaces))
    if "l3" in settings.agent.duties and not missing["l3"]:
        spaces = _spaces(settings, l3.NAMESPACE_PREFIX)
        clock = SystemClock()
        parts = (links, nft.Nft(), LinuxAdvertisers())
        found.append(L3Agent(node, server, clock, client, *parts, doors=doors, spaces=spaces))
    return found


def simulated_agents(
    home: Path,
    settings: Settings,
    node: AgentSettings,
    server: Server,
    client: OvsdbClient,
    links: Links,
) -> list[Agent]:
    """The same agents on a simulated host, whose state is kept in files of its folder ``home``."""
    packet_filter = SimulatedFilter(home / "nft.json")
    if isinstance(links, SimulatedLinks):
        links.on_gone = packet_filter.forget_namespace
    metadata = MetadataAgent(node, server, SystemClock(), SimulatedListeners())
    return [
        metadata,
        DhcpAgent(
            node,
            server,
            SystemClock(),
            client,
            links,
            SimulatedDhcp(home / "dhcp.json"),
            doors=metadata,
            spaces=_spaces(settings, dhcp.NAMESPACE_PREFIX, SIMULATED_WATCH_S),
        ),
        L3Agent(
            node,
            server,
            SystemClock(),
            client,
            links,
            packet_filter,
            SimulatedAdvertisers(),
            doors=metadata,
            spaces=_spaces(settings, l3.NAMESPACE_PREFIX, SIMULATED_WATCH_S),
        ),
    ]


def _spaces(settings: Settings, prefix: str, watch_interval_s: float = 5.0) -> SpaceSettings:
    return SpaceSettings(
        namespace_prefix=prefix,
        integration_bridge=settings.switch.integration_bridge,
        watch_interval_s=watch_interval_s,
    )
