"""A node with a simulated switch, and a server in this process, for tests of the switch agent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
from tests.waiting import until

from pileus.core.clock import SystemClock
from pileus.drivers.interfaces.spec import HostNetwork
from pileus.drivers.netlink.simulated import SimulatedLinks
from pileus.drivers.openflow.flow import Flow
from pileus.drivers.openflow.simulated import SimulatedFlows
from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.drivers.ovsdb.edit import Edit
from pileus.drivers.ovsdb.simulated import SimulatedSwitch
from pileus.host.agent import AgentSettings
from pileus.host.l2 import tables as t
from pileus.host.l2.agent import SwitchAgent
from pileus.host.l2.settings import OWNER
from pileus.host.uplinks.apply import Uplinks
from pileus.wire.switch import TunnelEndpoint

from .scene import SETTINGS, group, mac, network
from .switch_server import SwitchServer

replace = msgspec.structs.replace


class Bench:
    """One simulated node with an agent that can be dropped and started again."""

    def __init__(self, server: SwitchServer, enforcement: str = "policing") -> None:
        self.server = server
        self.switch = SimulatedSwitch()
        self.flows = SimulatedFlows(self.switch)
        self.client: OvsdbClient
        self.agent: SwitchAgent
        self.settings = replace(SETTINGS, enforcement=enforcement)  # type: ignore[arg-type]
        self.network = HostNetwork()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.client = self.switch.client(retry_s=0.01)
        self.agent = SwitchAgent(
            AgentSettings(host="n1"),
            self.settings,
            self.server,
            SystemClock(),
            self.client,
            self.flows,
            polices=True,
            uplinks=self.uplinks(),
        )
        self._task = asyncio.create_task(self.agent.run())

    def uplinks(self) -> Uplinks:
        mapped = [bridge for _, bridge in self.settings.bridge_mappings]
        more: dict[str, Any] = {"datapath_type": "netdev", "mapped": mapped, "lower_owner": OWNER}
        return Uplinks(self.network, self.client, SimulatedLinks(self.switch), **more)

    async def kill(self) -> None:
        """The object is dropped wherever it is; nothing is told goodbye."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def plug(self, *numbers: int) -> None:
        client = self.switch.client()
        await client.connect()
        edit = Edit(client)
        for number in numbers:
            ids = {"iface-id": f"port-{number}", "attached-mac": mac(number)}
            edit.ensure_bridge("br-int", datapath_type="netdev")
            edit.ensure_port("br-int", f"tap{number}", interface={"external_ids": ids})
        await edit.commit(wait_s=5)
        await client.close()

    async def unplug(self, *numbers: int) -> None:
        client = self.switch.client()
        await client.connect()
        edit = Edit(client)
        for number in numbers:
            edit.delete_port(f"tap{number}")
        await edit.commit(wait_s=5)
        await client.close()

    async def full_pass(self) -> int:
        """How many changes a pass that takes nothing for granted plans."""
        await self.agent.reconciler.settled()
        before = self.agent.metrics.full_passes
        self.agent.reconciler.wake(reread=True, inspect=True)
        await until(lambda: self.agent.metrics.full_passes > before)
        return self.agent.metrics.changes_of_last_full_pass

    def ours(self, *bridges: str) -> int:
        """How many flows of ours there are, in these bridges or in all."""
        found = [self.switch.flows.get(bridge, {}) for bridge in bridges or self.switch.flows]
        flows = [flow for bridge in found for flow in bridge.values()]
        return sum(1 for flow in flows if isinstance(flow, Flow) and flow.cookie in t.COOKIES)

    def flows_in(self, table: int) -> list[Flow]:
        """The flows in a table of br-int."""
        return [flow for flow in self.switch.flows["br-int"].values() if flow.table == table]


def cloud() -> SwitchServer:
    server = SwitchServer()
    server.networks["net"] = network()
    server.groups["default"] = group()
    server.tunnels = [TunnelEndpoint("n1", "192.0.2.1"), TunnelEndpoint("n2", "192.0.2.2")]
    return server


@contextlib.asynccontextmanager
async def running(server: SwitchServer, enforcement: str = "policing") -> AsyncIterator[Bench]:
    bench = Bench(server, enforcement)
    await bench.start()
    try:
        yield bench
    finally:
        await bench.kill()


def scenario(story: Callable[[], object]) -> None:
    asyncio.run(story())  # type: ignore[arg-type]


def bench_matches(bench: Bench, part: str) -> list[Flow]:
    return [f for f in bench.switch.flows["br-int"].values() if part in f.match]
