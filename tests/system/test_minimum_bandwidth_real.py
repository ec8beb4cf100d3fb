"""A guaranteed share of a card's rate, measured while others send all they can."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.system.l2_world import World
from tests.system.test_taps_real import at, of, sniffed

from pileus.app.lab.lab import PHYSICAL_NETWORK, Guest, Lab, LabHost
from pileus.core.clock import SystemClock
from pileus.drivers.process import run
from pileus.drivers.shaping.queues import KernelQueues
from pileus.host.agent import AgentSettings
from pileus.host.l2.agent import SwitchAgent
from pileus.host.l2.minima import TUNNELLED
from pileus.wire.qos import PortQos
from pileus.wire.switch import NetworkDetails, Segment

pytestmark = [
    pytest.mark.real,
    pytest.mark.alone,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(shutil.which("ovs-vswitchd") is None, reason="needs Open vSwitch"),
    pytest.mark.skipif(shutil.which("tc", path="/usr/sbin:/sbin:/usr/bin") is None, reason="needs tc"),
]
replace = msgspec.structs.replace

RATE_KBPS, LEAST_KBPS = 8_000, 6_000
SIZE = 1000
ON_THE_WIRE = {"flat": SIZE + 42, "net": SIZE + 42 + 50, "gre": SIZE + 42 + 42}
"""Octets of a frame on the card, in the tunnel's headers where there is one."""
SECONDS = 3.0


class Shaping(World):
    """A world whose agents know the rates of their cards."""

    def _switch_agent(self, host: LabHost) -> SwitchAgent:
        settings = replace(
            host.bridge_settings(),
            tunnel_types=self.tunnel_types,
            bandwidths=((PHYSICAL_NETWORK, RATE_KBPS), (TUNNELLED, RATE_KBPS)),
        )
        return SwitchAgent(
            *(
                AgentSettings(host=host.name),
                settings,
                self.server,
                SystemClock(),
                host.client(),
                host.flows(),
            ),
            queues=KernelQueues(("ip", "netns", "exec", host.namespace)),
        )


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.mark.parametrize(
    ("network", "card"),
    [("flat", "phys0"), ("net", "under0"), pytest.param("gre", "under0", marks=pytest.mark.nightly)],
)
def test_a_least_bandwidth_is_had_under_contention(runner: asyncio.Runner, network: str, card: str) -> None:
    lab = Lab(2, Path(tempfile.mkdtemp(prefix="plab")), f"mb{os.getpid() % 1000}")

    async def story() -> None:
        await lab.open()
        world = Shaping(lab, ("vxlan", "gre"))
        world.server.networks["gre"] = NetworkDetails("gre", Segment("gre", None, 200))
        for host in lab.hosts.values():
            await world.start(host)
        try:
            await follow(world)
        finally:
            for name in list(world.tasks):
                await world.stop(name)

    async def shown() -> str:
        return (await run(("tc", "-n", lab.hosts["n1"].namespace, "class", "show", "dev", card))).decode()

    async def follow(world: World) -> None:
        there = {"network_id": network}
        (a, at_a), (b, at_b), (c, at_c) = await world.guests(("n1", there), ("n1", there), ("n2", there))
        target = at_c.fixed_ips[0].ip_address
        for guest in (a, b):
            assert await world.pings(guest, target)
        assert "504c:" not in await shown()
        await world.change(at_a, qos=PortQos(egress_minimum_kbps=LEAST_KBPS))
        assert "504c:" in await shown()
        assert world.agents["n1"].configurations()["minimum_bandwidth_enforced"] is True
        # The other one begins first, and sends more than there is.
        async with sniffed(at(world, c)) as came:
            await asyncio.gather(flood(world, b, target), flood(world, a, target))
        kbps = {
            one.fixed_ips[0].ip_address: of(came, f"udp 0 {one.fixed_ips[0].ip_address}>").popitem()[1]
            * ON_THE_WIRE[network]
            * 8
            / 1000
            / SECONDS
            for one in (at_a, at_b)
        }
        mine, other = kbps[at_a.fixed_ips[0].ip_address], kbps[at_b.fixed_ips[0].ip_address]
        assert LEAST_KBPS * 0.9 <= mine <= LEAST_KBPS * 1.1, kbps
        assert mine + other <= RATE_KBPS * 1.1, kbps
        print(f"{network}: {mine:.0f} kbit/s of {LEAST_KBPS} guaranteed, {other:.0f} for the other")
        # Alone he has everything, and so has the other.
        async with sniffed(at(world, c)) as came:
            await flood(world, b, target)
        (alone,) = of(came, "udp").values()
        assert alone * ON_THE_WIRE[network] * 8 / 1000 / SECONDS >= RATE_KBPS * 0.85
        await world.change(at_a, qos=None)
        assert "504c:" not in await shown()

    async def flood(world: World, guest: Guest, target: str) -> None:
        pace = str(RATE_KBPS * 1000 / 8 / ON_THE_WIRE[network] * 1.5)
        async with world.program(guest, "send", target, "5001", pace, str(SECONDS), str(SIZE)) as sending:
            await sending.communicate()

    try:
        runner.run(story())
    finally:
        runner.run(lab.close())
