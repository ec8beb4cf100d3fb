"""A local IP with real switches: each host's guests reach the port that is with them, by one address."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from tests.system.l2_world import ANYONE, World, until

from pileus.app.lab.lab import Guest, Lab
from pileus.drivers.process import run
from pileus.wire.switch import LocalIP, SecurityRule

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(shutil.which("ovs-vswitchd") is None, reason="needs Open vSwitch"),
]
TCP = SecurityRule("tcp", "ingress", "IPv4", "tcp", 5000, 5999)


async def forget_neighbours(guest: Guest) -> None:
    await run(("ip", "-n", guest.namespace, "neigh", "flush", "dev", "eth0"))


async def reaches(world: World, sender: Guest, receiver: Guest, address: str) -> bool:
    """Whether all datagrams to an address come to a guest."""
    sent, came = await world.count(sender, receiver, address, 200, 0.5)
    return int(came["packets"]) == sent > 50


async def story(world: World) -> None:
    world.group("open", *ANYONE, TCP)
    here, near, there, far, owner = await world.guests(
        ("n1", {}), ("n1", {}), ("n2", {}), ("n2", {}), ("n2", {})
    )
    address = owner[1].fixed_ips[0].ip_address
    for port in (near, far):
        led = LocalIP("lip", address, port[1].fixed_ips[0].ip_address)
        await world.change(port[1], local_ips=(led,))
    assert await world.pings(here[0], address), "answers come from the local address"
    assert await world.pings(there[0], address)
    assert await reaches(world, here[0], near[0], address)
    assert await reaches(world, there[0], far[0], address)
    assert await reaches(world, near[0], owner[0], address), "the port itself reaches the owner"
    async with (
        world.program(near[0], "serve", "5002"),
        world.program(here[0], "talk", address, "5002") as talk,
    ):
        assert talk.stdin is not None and talk.stdout is not None
        assert await asyncio.wait_for(talk.stdout.readline(), 5) == b"connected\n"
        talk.stdin.write(b"hello\n")
        await talk.stdin.drain()
        assert (await asyncio.wait_for(talk.stdout.readline(), 5)).strip() == b"hello"
    direct = near[1].fixed_ips[0].ip_address
    assert await reaches(world, here[0], near[0], direct), "its own address goes on, too"
    # The guest has the address itself.
    await run(("ip", "-n", near[0].namespace, "addr", "add", f"{address}/32", "dev", "lo"))
    await world.change(near[1], port_security_enabled=False, security_group_ids=())
    await world.change(near[1], local_ips=(LocalIP("lip", address, direct, passthrough=True),))
    assert await reaches(world, here[0], near[0], address)
    # Where it leads nowhere any more, the owner is reached.
    await world.change(near[1], local_ips=())
    await forget_neighbours(here[0])
    assert await world.pings(here[0], address)
    assert await reaches(world, here[0], owner[0], address)
    for agent in world.agents.values():
        before = agent.metrics.full_passes
        agent.reconciler.wake(reread=True, inspect=True)
        await until(lambda agent=agent, before=before: agent.metrics.full_passes > before)
        assert agent.metrics.changes_of_last_full_pass == 0


def test_one_address_leads_to_the_port_on_the_same_host() -> None:
    async def tell() -> None:
        name = f"pi{os.getpid() % 1000}"
        folder = Path(tempfile.mkdtemp(prefix=name))
        try:
            async with Lab(2, folder, name) as lab:
                world = World(lab)
                try:
                    for host in lab.hosts.values():
                        await world.start(host)
                    await until(lambda: all(one.metrics.full_passes for one in world.agents.values()))
                    await story(world)
                finally:
                    for one in list(world.tasks):
                        await world.stop(one)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    asyncio.run(tell())
