"""QoS on a real switch: throughput both ways, packets a second, and marks on the wire."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.system.l2_world import ANYONE, World, until

from pileus.app.lab.lab import Guest, Lab
from pileus.wire.qos import PacketRateLimit, PortQos, RateLimit

pytestmark = [
    pytest.mark.real,
    pytest.mark.alone,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(shutil.which("ovs-vswitchd") is None, reason="needs Open vSwitch"),
]

LIMIT_KBPS = 2000
_MARKS = """
import socket, sys
listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
listener.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
listener.bind(("0.0.0.0", 5002))
print("ready", flush=True)
_, ancillary, _, _ = listener.recvmsg(100, 100)
print(ancillary[0][2][0] >> 2, flush=True)
"""


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def world(runner: asyncio.Runner) -> Iterator[World]:
    async def open_world() -> World:
        await lab.open()
        world = World(lab)
        for host in lab.hosts.values():
            await world.start(host)
        await until(lambda: all(agent.metrics.full_passes for agent in world.agents.values()))
        world.group("open", *ANYONE)
        return world

    async def close_world() -> None:
        for name in list(world.tasks):
            await world.stop(name)

    lab = Lab(1, Path(tempfile.mkdtemp(prefix="pqos")), f"pq{os.getpid() % 1000}")
    try:
        world = runner.run(open_world())
        yield world
        runner.run(close_world())
    finally:
        runner.run(lab.close())


async def steady(world: World, sender: Guest, receiver: Guest, address: str, rate: int, size: int) -> Any:
    """Packets and kilobits a second that come once the burst, a second's worth, is used up."""
    port = "5001"
    async with world.program(receiver, "receive", port, "2.5") as listening:
        async with world.program(sender, "send", address, port, str(rate), "6", str(size)) as sending:
            await sending.communicate()
        listening.terminate()
        came, _ = await listening.communicate()
    seen = json.loads(came)
    return seen["packets"] / seen["seconds"], seen["octets"] * 8 / 1000 / seen["seconds"]


def test_throughput_is_limited_both_ways(world: World, runner: asyncio.Runner) -> None:
    async def story() -> None:
        limit = RateLimit("q", LIMIT_KBPS, 0)
        (a, at_a), (b, at_b) = await world.guests(("n1", {}), ("n1", {}))
        there, back = at_b.fixed_ips[0].ip_address, at_a.fixed_ips[0].ip_address
        await world.change(at_a, rate_limit=limit, qos=PortQos(ingress=limit))
        for sender, receiver, address in ((a, b, there), (b, a, back)):
            _, rate_kbps = await steady(world, sender, receiver, address, 700, 1000)
            assert 0.9 * LIMIT_KBPS < rate_kbps < 1.1 * LIMIT_KBPS, rate_kbps
        enforcement = [s.enforcement for s in world.server.statuses if at_a.port_id in s.enforcement]
        assert enforcement[-1] == {at_a.port_id: "meter"}
        await world.change(at_a, rate_limit=None, qos=None)
        _, rate_kbps = await steady(world, a, b, there, 700, 1000)
        assert rate_kbps > 2 * LIMIT_KBPS
        await world.clear()

    runner.run(story())


def test_packets_a_second_are_limited_both_ways(world: World, runner: asyncio.Runner) -> None:
    async def story() -> None:
        (a, at_a), (b, at_b) = await world.guests(("n1", {}), ("n1", {}))
        there, back = at_b.fixed_ips[0].ip_address, at_a.fixed_ips[0].ip_address
        packets = PacketRateLimit(1)
        limits = PortQos(egress_packets=packets, ingress_packets=packets, ingress=RateLimit("q", 50_000, 0))
        await world.change(at_a, rate_limit=RateLimit("q", 50_000, 0), qos=limits)
        for sender, receiver, address in ((a, b, there), (b, a, back)):
            rate_pps, _ = await steady(world, sender, receiver, address, 2500, 64)
            assert 900 < rate_pps < 1100, rate_pps
        await world.clear()

    runner.run(story())


def test_marks_are_on_the_wire(world: World, runner: asyncio.Runner) -> None:
    async def story() -> None:
        (a, at_a), (b, at_b) = await world.guests(("n1", {}), ("n1", {}))
        there = at_b.fixed_ips[0].ip_address

        async def mark() -> int:
            child = await asyncio.create_subprocess_exec(
                *world.lab.inside(b, [sys.executable, "-u", "-c", _MARKS]), stdout=asyncio.subprocess.PIPE
            )
            assert child.stdout is not None
            assert await asyncio.wait_for(child.stdout.readline(), 5) == b"ready\n"
            async with world.program(a, "send", there, "5002", "20", "2") as sending:
                seen = await asyncio.wait_for(child.stdout.readline(), 10)
                sending.kill()
            await child.wait()
            return int(seen)

        assert await mark() == 0
        await world.change(at_a, qos=PortQos(dscp_mark=46))
        assert await mark() == 46
        await world.change(at_a, qos=PortQos(dscp_mark=8, egress_packets=PacketRateLimit(5)))
        assert await mark() == 8
        await world.change(at_a, qos=None)
        assert await mark() == 0
        await world.clear()

    runner.run(story())
