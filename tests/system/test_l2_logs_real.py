"""Packets of logged ports on a real switch: written down, and held by a rate."""

import asyncio
import os
import shutil
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs
from tests.system.l2_fixtures import runner, say, shared_world, switch_world, world
from tests.system.l2_world import SSH, World, until

from pileus.host.l2.logged import read_verdict
from pileus.wire.switch import (
    DeviceDetails,
    PacketLog,
)

__all__ = ["runner", "shared_world", "switch_world", "world"]

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(shutil.which("ovs-vswitchd") is None, reason="needs Open vSwitch"),
]

replace = msgspec.structs.replace


def test_a_flood_of_logged_packets_does_not_reach_the_agent(
    switch_world: World, runner: asyncio.Runner
) -> None:
    world = switch_world

    async def story() -> None:
        drops = (PacketLog("log", "project", "DROP"),)
        (a, _), (_, at_b) = await world.guests(
            ("n1", {}), ("n1", {"security_group_ids": ("closed",), "logs": drops})
        )
        flows = world.lab.hosts["n1"].flows()
        came = 0

        async def count() -> None:
            nonlocal came
            async for packet in flows.packets_in("br-int"):
                came += read_verdict(packet.userdata) is not None

        counting = asyncio.create_task(count())
        try:
            address = at_b.fixed_ips[0].ip_address
            async with asyncio.timeout(20):
                while not came:
                    await say(world, a, address, "23", "hello")
            came = 0
            async with world.program(a, "send", address, "5001", "4000", "1.5") as sending:
                sent, _ = await sending.communicate()
            assert int(sent) > 2000
            # A second's worth and a burst, and as much again for a machine that counts late.
            assert 20 <= came <= 2 * (125 + 2 * 100), came
        finally:
            counting.cancel()
            await asyncio.gather(counting, return_exceptions=True)
            await flows.close()

    runner.run(story())


def test_packets_of_logged_ports_are_written_down(switch_world: World, runner: asyncio.Runner) -> None:
    world = switch_world

    async def story() -> None:
        world.group("ssh", SSH)
        world.group("free", SSH)
        world.server.groups["free"] = replace(world.server.groups["free"], stateful=False)
        everything = (PacketLog("log", "project", "ALL"),)
        (a, at_a), (b, at_b), (_, free) = await world.guests(
            ("n1", {}),
            ("n2", {"security_group_ids": ("ssh",), "logs": everything}),
            ("n2", {"security_group_ids": ("free",), "logs": everything}),
        )
        source, address = at_a.fixed_ips[0].ip_address, at_b.fixed_ips[0].ip_address

        def told(port: DeviceDetails, **fields: Any) -> list[Any]:
            wanted = {"event": "packet", "port": port.port_id, "source": source, **fields}.items()
            return [line for line in lines if line.items() >= wanted]

        with capture_logs() as lines:
            async with world.program(b, "serve", "22"):
                # The agent listens a moment after it has written the flows.
                async with asyncio.timeout(20):
                    while not told(at_b, action="ACCEPT"):
                        assert await say(world, a, address, "22", "hello") == ["connected", "hello"]
                lines.clear()
                assert await say(world, a, address, "22", "hello") == ["connected", "hello"]
            await say(world, a, address, "23", "hello")
            await say(world, a, free.fixed_ips[0].ip_address, "22", "hello")
            await say(world, a, free.fixed_ips[0].ip_address, "23", "hello")
            await until(lambda: bool(told(free, action="DROP", destination_port=23)))
            await until(lambda: bool(told(at_b, action="DROP", destination_port=23)))
            (accepted,) = told(at_b, action="ACCEPT")
            assert accepted["destination_port"] == 22 and accepted["protocol"] == "tcp"
            assert accepted["security_groups"] == ["ssh"] and accepted["log_ids"] == ["log"]
            assert accepted["destination"] == address and accepted["direction"] == "ingress"
            assert told(free, action="ACCEPT", destination_port=22)
            # Without the log nothing is told, and packets go their way as before.
            await world.change(at_b, logs=())
            lines.clear()
            await say(world, a, address, "23", "hello")
            assert not told(at_b)

    runner.run(story())
