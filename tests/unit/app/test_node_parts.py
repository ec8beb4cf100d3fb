"""The agents of a node are made of its parts, in one place, whatever parts there are."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from pileus.app.nodes.agents import NodeAgents, node_agents
from pileus.app.nodes.machines import simulated_cache
from pileus.app.nodes.simulated import simulated_parts
from pileus.app.sections import SimulationSection
from pileus.app.settings import Settings
from pileus.app.state import StateFolder
from pileus.bus.client import WireClient
from pileus.drivers.keepalived.simulated import SimulatedVrrp
from pileus.host.l2.section import SwitchSection

SOURCE = Path(__file__).parents[3] / "src" / "pileus"
AGENTS = (
    *("SwitchAgent", "LinuxBridgeAgent", "MetadataAgent", "DhcpAgent", "L3Agent"),
    *("HypervisorAgent", "StorageAgent"),
)


TWO_HOSTS = Settings(simulation=SimulationSection(hosts=2, network_hosts=1))


def agents(
    folder: StateFolder, number: int, settings: Settings = TWO_HOSTS, *, without_machines: bool = False
) -> NodeAgents:

    async def make() -> NodeAgents:
        parts = await simulated_parts(folder, settings, number, simulated_cache(folder), SimulatedVrrp())
        if without_machines:
            parts = msgspec.structs.replace(parts, machines=None)
        async with WireClient(f"unix:{folder.socket}", "") as client:
            found = node_agents(settings, f"host-{number}", client, parts)
        await parts.close()
        return found

    return asyncio.run(make())


def test_a_part_that_a_node_lacks_is_an_agent_that_it_lacks(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.hosts.mkdir()
    full = [
        *("neutron-openvswitch-agent", "neutron-metadata-agent", "neutron-dhcp-agent", "neutron-l3-agent"),
        "neutron-metering-agent",
    ]
    # Its switch may translate floating IPs, which are counted there.
    switching = ["neutron-openvswitch-agent", "neutron-metering-agent"]
    machines = ["nova-compute", "pileus-gateway-agent"]
    assert [one.binary for one in agents(folder, 1).all()] == [*full, *machines, "cinder-volume"]
    assert [one.binary for one in agents(folder, 1, without_machines=True).all()] == [*full, "cinder-volume"]
    # A host that serves no networks has nobody who would ask for metadata.
    assert [one.binary for one in agents(folder, 2).all()] == [*switching, *machines]


def test_a_node_of_linux_bridges_has_their_agent(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.hosts.mkdir()
    bridges = Settings(switch=SwitchSection(mechanism="linuxbridge"))
    assert agents(folder, 1, bridges).switch.binary == "neutron-linuxbridge-agent"


def test_agents_are_made_in_one_place() -> None:
    makers = {
        file.relative_to(SOURCE).as_posix()
        for file in SOURCE.rglob("*.py")
        if any(f"{name}(\n" in file.read_text() or f"{name}(node" in file.read_text() for name in AGENTS)
    }
    assert makers == {"app/nodes/agents.py"}
