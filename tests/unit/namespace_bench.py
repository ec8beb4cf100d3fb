"""A simulated node for agents of namespaces: its twins outlive the agents."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from tests.unit.namespace_server import NamespaceServer
from tests.waiting import until

from pileus.drivers.advertising.simulated import SimulatedAdvertisers
from pileus.drivers.dnsmasq.simulated import SimulatedDhcp
from pileus.drivers.netlink.simulated import SimulatedLinks
from pileus.drivers.nft.simulated import SimulatedFilter
from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.drivers.ovsdb.edit import Edit
from pileus.drivers.ovsdb.simulated import SimulatedSwitch
from pileus.host.agent import Agent
from pileus.host.namespaces.agent import NamespaceAgent

__all__ = ["Bench", "Maker", "full_pass", "running", "scenario", "until"]

Maker = Callable[["Bench"], NamespaceAgent[Any]]


class Bench:
    """One node with an agent that can be dropped and started again."""

    agent: NamespaceAgent[Any]

    def __init__(self, server: NamespaceServer, make: Maker) -> None:
        self.server = server
        self.switch = SimulatedSwitch(devices=set())
        self.links = SimulatedLinks(self.switch)
        self.dhcp = SimulatedDhcp()
        self.filter = SimulatedFilter()
        self.advertisers = SimulatedAdvertisers()
        self.client: OvsdbClient
        self._make = make
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.client = self.switch.client(retry_s=0.01)
        self.agent = self._make(self)
        self._task = asyncio.create_task(self.agent.run())

    async def kill(self) -> None:
        """The object is dropped wherever it is; nothing is told goodbye."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self.client.close()

    async def make_bridge(self) -> None:
        """What the switch agent does first."""
        client = self.switch.client()
        await client.connect()
        edit = Edit(client)
        edit.ensure_bridge("br-int", datapath_type="netdev")
        await edit.commit(wait_s=5)
        await client.close()

    async def full_pass(self) -> int:
        """How many changes a pass that takes nothing for granted makes."""
        return await full_pass(self.agent)

    async def settled(self) -> None:
        """Until the agent rests and hears of all that it serves."""
        await self.agent.reconciler.settled()
        await until(lambda: self.server.is_heard(self.agent.scopes()))

    async def after(self, change: Callable[[], None]) -> None:
        """Change what is wanted, and wait until the agent has acted."""
        await self.settled()
        before = self.agent.metrics.passes
        change()
        await until(lambda: self.agent.metrics.passes > before)
        await self.agent.reconciler.settled()

    def transactions(self) -> int:
        """How many transactions there were on the switch: each counts ``next_cfg`` up."""
        return max(row["next_cfg"] for row in self.client.tables["Open_vSwitch"].values())

    def ports(self) -> dict[str, dict[str, Any]]:
        """The ports of agents on the switch: name to the external_ids of port and interface."""
        interfaces = self.client.by_name("Interface")
        return {
            name: row["external_ids"] | interfaces[name]["external_ids"]
            for name, row in self.client.by_name("Port").items()
            if name != "br-int"
        }


async def full_pass(agent: Agent) -> int:
    await agent.reconciler.settled()
    before = agent.metrics.full_passes
    agent.reconciler.wake(reread=True, inspect=True)
    await until(lambda: agent.metrics.full_passes > before)
    return agent.metrics.changes_of_last_full_pass


@contextlib.asynccontextmanager
async def running(server: NamespaceServer, make: Maker) -> AsyncIterator[Bench]:
    bench = Bench(server, make)
    await bench.make_bridge()
    await bench.start()
    try:
        yield bench
    finally:
        await bench.kill()


def scenario(story: Callable[[], Any]) -> None:
    asyncio.run(story())
