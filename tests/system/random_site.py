"""The network service in this process and two simulated nodes with all their agents, which die and come back
together: for stories of random calls."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from tests.api.network.cloud import CONFIG, Cloud, cloud
from tests.system.cloud_world import PassingTime, ServiceLine
from tests.waiting import until

from pileus.app.nodes import guests
from pileus.app.nodes.agents import node_agents
from pileus.app.nodes.parts import NodeParts, RouterParts, SwitchParts
from pileus.app.nodes.simulated import MAPPINGS
from pileus.app.nodes.switch import bridge_settings
from pileus.app.settings import Settings
from pileus.drivers.advertising.simulated import SimulatedAdvertisers
from pileus.drivers.bfd.simulated import SimulatedBfd
from pileus.drivers.delegation.simulated import SimulatedPrefixClients
from pileus.drivers.dnsmasq.simulated import SimulatedDhcp
from pileus.drivers.keepalived.simulated import SimulatedKeepalived, SimulatedVrrp
from pileus.drivers.listening.simulated import SimulatedListeners
from pileus.drivers.netlink.simulated import SimulatedLinks
from pileus.drivers.nft.simulated import SimulatedFilter
from pileus.drivers.openflow.simulated import SimulatedFlows
from pileus.drivers.ovsdb.simulated import SimulatedSwitch
from pileus.drivers.shaping.queues import SimulatedQueues
from pileus.host.agent import Agent
from pileus.services.network.rules.segments import Ranges

RANGES = Ranges(flat=("*",), vlan={"physnet1": ((100, 199),)}, vxlan=((1, 10000),))
ROUNDS = 20
"""Full passes until nobody finds anything to do: what one agent reports may be news to another."""


class Node:
    """A node's twins, which outlive its agents."""

    def __init__(self, host: str, number: int, line: Any, vrrp: SimulatedVrrp) -> None:
        self.host, self._line = host, line
        self.switch = SimulatedSwitch()
        self.flows = SimulatedFlows(self.switch)
        self.links, self.dhcp = SimulatedLinks(), SimulatedDhcp()
        packet_filter = SimulatedFilter()
        self.links.on_gone = packet_filter.forget_namespace
        self.advertisers = SimulatedAdvertisers()
        self._router = RouterParts(
            packet_filter=packet_filter,
            advertisers=self.advertisers,
            virtual_routers=SimulatedKeepalived(host, vrrp, self.links),
            bfd_routers=SimulatedBfd(),
            prefix_clients=SimulatedPrefixClients(),
        )
        self._bridges = bridge_settings(Settings(), host, "netdev", tunneling_ip=f"192.0.2.{number}")
        self.agents: list[Agent] = []
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def runs(self) -> bool:
        return bool(self._tasks)

    def start(self) -> None:
        """New objects, as a new process would have them."""
        bridges = replace(self._bridges, bridge_mappings=MAPPINGS, watch_interval_s=0.1)
        switch = SwitchParts(
            bridges=bridges,
            client=self.switch.client(retry_s=0.01),
            flows=self.flows,
            queues=SimulatedQueues(),
        )
        parts = NodeParts(
            switch=switch,
            links=self.links,
            listeners=SimulatedListeners(),
            dhcp=self.dhcp,
            router=self._router,
            watch_interval_s=0.1,
        )
        self.agents = node_agents(Settings(), self.host, self._line, parts).all()
        self._tasks = [asyncio.create_task(agent.run()) for agent in self.agents]

    async def kill(self) -> None:
        """All are dropped wherever they are; nothing is told goodbye."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def plug(self, port: str, mac: str) -> None:
        """The hypervisor's part, which knows nothing of Pileus."""
        async with self._client() as client:
            plug = guests.Plug(port_id=port, namespace="", mac=mac)
            await guests.plug_interfaces(client, "br-int", "netdev", [plug])

    async def unplug(self, *ports: str) -> None:
        async with self._client() as client:
            await guests.unplug_interfaces(client, ports)

    @contextlib.asynccontextmanager
    async def _client(self) -> Any:
        client = self.switch.client()
        await client.connect()
        try:
            yield client
        finally:
            await client.close()

    async def rests(self) -> int:
        """How many changes full passes of all agents make."""
        changes = 0
        for agent in self.agents:
            before = agent.metrics.full_passes
            agent.reconciler.hurry()
            agent.reconciler.wake(reread=True, inspect=True)
            await until(lambda agent=agent, before=before: agent.metrics.full_passes > before)
            await agent.reconciler.settled()
            changes += agent.metrics.changes_of_last_full_pass
        return changes

    async def picture(self) -> dict[str, Any]:
        """All that is on the node."""
        async with self._client() as client:
            ports = sorted(client.by_name("Port"))
        return {
            "ports": ports,
            "flows": {
                bridge: sorted(map(str, await self.flows.dump(bridge))) for bridge in self.switch.flows
            },
            "meters": {bridge: sorted(meters) for bridge, meters in self.switch.meters.items() if meters},
            "namespaces": await self.links.namespaces(),
            "links": sorted(await self.links.links()),
            "dhcp": sorted(await self.dhcp.known()),
            "advertised": sorted(self.advertisers.current),
        }


class Site:
    """The cloud and its nodes. Everything is asked as the administrator."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="prnd"))
        self._stack = contextlib.AsyncExitStack()
        self.nodes: list[Node] = []

    async def open(self) -> None:
        url = f"sqlite:///{self._folder}/cloud.sqlite"
        api = await self._stack.enter_async_context(cloud(url, replace(CONFIG, ranges=RANGES)))
        self.api: Cloud = api.as_("admin")
        passing, vrrp = PassingTime(api.clock), SimulatedVrrp()
        for number in (1, 2):
            host = f"host-{number}"
            node = Node(host, number, ServiceLine(api, host, passing), vrrp)
            self.nodes.append(node)
            node.start()
        await self.settle()

    async def close(self) -> None:
        for node in self.nodes:
            await node.kill()
            await node.switch.close()
        await self._stack.aclose()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request, which may be refused with a reason, and breaks nothing."""
        answer = await self.api(method, f"/v2.0/{path}", body)
        assert answer.status < 500, (method, path, body, answer)
        return answer

    async def all(self, path: str) -> list[dict[str, Any]]:
        """A collection, in the order of its ids."""
        (listed,) = (await self.ask("GET", path)).json.values()
        return sorted(listed, key=lambda one: str(one["id"]))

    async def settle(self) -> None:
        """Until full passes of all agents change nothing."""
        for _ in range(ROUNDS):
            if sum([await node.rests() for node in self.nodes]) == 0:
                return
        raise AssertionError(
            {
                (node.host, agent.binary): agent.metrics.changes_of_last_full_pass
                for node in self.nodes
                for agent in node.agents
            }
        )

    async def pictures(self) -> list[dict[str, Any]]:
        return [await node.picture() for node in self.nodes]
