"""A host of Linux bridges among hosts that route: its guests are served by the router's own port."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.patience import PATIENCE
from tests.system.bridge_lab import BridgeHost
from tests.system.cloud_world import CloudWorld, story_in_a_cloud
from tests.system.node_world import REAL
from tests.system.test_dvr_floating_real import gateways, held_centrally
from tests.system.test_dvr_ipv6_real import a_network, shown

from pileus.app.lab.lab import Lab
from pileus.drivers.linuxbridge.board import PluggingBoard
from pileus.drivers.netlink.links import Address
from pileus.drivers.process import run
from pileus.host.agent import Agent

pytestmark = REAL
BRIDGES = "n3"
# This kernel may track no connections of bridges, so groups can't be obeyed there.
FREE: dict[str, Any] = {"port_security_enabled": False, "security_groups": []}


class MixedLab(Lab):
    """A lab whose last host has no Open vSwitch."""

    async def open(self) -> None:
        bare = self.hosts.pop(BRIDGES)
        await super().open()
        board = PluggingBoard()
        host = BridgeHost(
            name=bare.name,
            namespace=bare.namespace,
            run_dir=bare.run_dir,
            underlay_ip=bare.underlay_ip,
            board=board,
        )
        self.hosts[BRIDGES] = host
        await self._links.ensure_namespaces([host.namespace])
        await self._lay_wires([host])
        await self._links.ensure_addresses([Address(host.namespace, "under0", f"{host.underlay_ip}/24")])

    async def close(self) -> None:
        host = self.hosts.get(BRIDGES)
        if isinstance(host, BridgeHost):
            await host.board.close()
        await super().close()


class MixedCloud(CloudWorld):
    def _make(self, host: str, kind: str) -> Agent:
        there = self.lab.hosts[host]
        if isinstance(there, BridgeHost):
            return there.agent(self.lines[host])  # type: ignore[arg-type]
        return super()._make(host, kind)


def test_guests_of_linux_bridges_are_served_by_the_routers_port() -> None:
    async def story(world: CloudWorld) -> None:
        one, subnets = await a_network(world, 1, "slaac")
        two, others = await a_network(world, 2, "slaac")
        await world.router(*subnets, *others, distributed=True)
        a, _, at_a = await world.guest("n2", one, 1)
        b, port_b, at_b = await world.guest(BRIDGES, two, 2, **FREE)
        c, _, at_c = await world.guest("n1", one, 1)
        (device,) = (await world.admin("GET", f"/v2.0/ports?id={port_b}")).json["ports"]
        assert device["binding:vif_type"] == "bridge"
        for sender, address in ((b, "10.2.0.1"), (a, at_b), (b, at_a), (b, at_c), (c, at_b)):
            await world.pings_soon(sender.namespace, address)
        # The way there is the sender's host's, the way back by the network node.
        inside = ("ip", "netns", "exec", b.namespace, "ping", "-c", "1", "-W", "2")
        assert "ttl=63" in (await run((*inside, at_a))).decode()

        # It hears of the router by the router's port, and its floating IP is the network node's.
        (new_a,) = [ip["ip_address"] for ip in (await port_of(world, a.port_id)) if ":" in ip["ip_address"]]
        (new_b,) = [ip["ip_address"] for ip in device["fixed_ips"] if ":" in ip["ip_address"]]
        async with asyncio.timeout(20 * PATIENCE):
            while not (new_b in await shown(b, "addr") and "default" in await shown(b, "route")):
                await asyncio.sleep(0.1)
        await world.pings_soon(b.namespace, new_a)
        await world.pings_soon(a.namespace, new_b)
        floating = await world.floating(port_b)
        await world.pings_soon(world.outside, floating)
        assert await held_centrally(world, floating) and await gateways(world) == set()

    story_in_a_cloud(story, routing=("n1",), kind=MixedCloud, lab=MixedLab)


async def port_of(world: CloudWorld, port_id: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = (await world.api("GET", f"/v2.0/ports/{port_id}")).json["port"]["fixed_ips"]
    return found
