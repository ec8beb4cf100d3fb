"""Distributed routers on three hosts: packets between subnets never visit the network node, counted."""

from __future__ import annotations

import asyncio
import re

import pytest
from msgspec.structs import replace
from tests.system.cloud_world import BEYOND, CLOUD_CONFIG, OUTSIDE, CloudWorld, story_in_a_cloud, until
from tests.system.node_world import REAL

from pileus.drivers.netlink.links import Address
from pileus.drivers.process import run

pytestmark = [*REAL, pytest.mark.alone]
RATE = 1000


async def flows(world: CloudWorld, host: str, bridge: str, table: str = "") -> str:
    target = f"unix:{world.lab.hosts[host].run_dir}/{bridge}.mgmt"
    arguments = ("dump-flows", target, *([table] if table else []))
    return (await run(("ovs-ofctl", "-O", "OpenFlow15", *arguments))).decode()


async def crossed(world: CloudWorld, host: str) -> int:
    """How many packets came to a host's tunnel bridge."""
    text = await flows(world, host, "br-tun", "table=0")
    return sum(map(int, re.findall(r"n_packets=(\d+)", text)))


def test_packets_take_the_short_way() -> None:
    async def story(world: CloudWorld) -> None:
        one, subnet = await world.network(1)
        two, other_subnet = await world.network(2)
        router = await world.router(subnet, other_subnet, distributed=True)
        a, a_port, at_a = await world.guest("n2", one, 1)
        b, _, at_b = await world.guest("n3", two, 2)
        c, _, at_c = await world.guest("n2", two, 2)
        await world.pings_soon(a.namespace, "10.1.0.1")
        await world.pings_soon(a.namespace, at_b)
        assert await world.pings(a.namespace, at_c), "on one host"
        assert await world.pings(b.namespace, at_a)
        assert await world.pings(c.namespace, "10.2.0.1")
        # A hop is a hop, and a router is no end of the way.
        inside = ("ip", "netns", "exec", a.namespace, "ping", "-c", "2", "-i", "0.2", "-W", "1")
        await run((*inside, "-t", "2", at_b))
        shown = (await run((*inside, at_b))).decode()
        assert "ttl=63" in shown, shown
        ended = (await run(("sh", "-c", " ".join((*inside, "-t", "1", at_b)) + " || true"))).decode()
        assert "From 10.1.0.1 icmp_seq=1 Time to live exceeded" in ended, ended

        # To the outside by the network node: source NAT, floating IPs.
        await world.pings_soon(a.namespace, OUTSIDE)
        await world.pings_soon(c.namespace, BEYOND)
        floating = await world.floating(a_port)
        await world.pings_soon(world.outside, floating)
        await world.pings_soon(b.namespace, floating)

        # Addresses that are another's are let go nowhere.
        await world.links.ensure_addresses([Address(a.namespace, "eth0", "10.1.0.99/32")])
        forged = ("ip", "netns", "exec", a.namespace, "ping", "-c", "1", "-W", "1", "-I", "10.1.0.99", at_b)
        assert "100% packet loss" in (await run(("sh", "-c", " ".join(forged) + " || true"))).decode()

        for host in ("n1", "n2", "n3"):
            agent = world.agents[host, "switch"]
            await agent.reconciler.settled()
            before = agent.metrics.full_passes
            agent.reconciler.wake(reread=True, inspect=True)
            await until(lambda agent=agent, before=before: agent.metrics.full_passes > before)
            assert agent.metrics.changes_of_last_full_pass == 0
        world.prefer_the_switches()
        quiet = await crossed(world, "n1")

        async def agents_die() -> None:
            for host in ("n2", "n3", "n1"):
                await world.drop(host, "switch")
                await world.start(host, "switch")
                await until(lambda host=host: world.agents[host, "switch"].metrics.full_passes > 0)

        sent, came = await world.stream(a.namespace, b.namespace, at_b, agents_die, rate=RATE)
        assert came == sent > RATE
        visited = await crossed(world, "n1") - quiet
        print(f"{visited} of {sent} packets visited the network node")
        assert visited < 60

        # Central and distributed again, while packets flow.
        async def turn(distributed: bool) -> None:
            path = f"/v2.0/routers/{router}"
            changed = await world.admin("PUT", path, {"router": {"distributed": distributed}})
            assert changed.status == 200, changed
            await asyncio.sleep(1.5)

        for distributed in (False, True):
            sent, came = await world.stream(
                a.namespace, b.namespace, at_b, lambda to=distributed: turn(to), rate=RATE
            )
            print(f"distributed={distributed}: {(sent - came) / RATE:.3f} s lost")
            assert (sent - came) / RATE < 0.2
        await world.pings_soon(world.outside, floating)

        # A rule is obeyed after routing as before.
        group = await world.api.make("security_group", name="closed")
        d, d_port, at_d = await world.guest("n3", two, 2)
        assert await world.pings(a.namespace, at_d)
        changes = {"port": {"security_groups": [group["id"]]}}
        assert (await world.api("PUT", f"/v2.0/ports/{d_port}", changes)).status == 200
        async with asyncio.timeout(10):
            while await world.pings(a.namespace, at_d, 1):
                pass
        await world.pings_soon(d.namespace, at_a)

        for fip in (await world.api("GET", "/v2.0/floatingips")).json["floatingips"]:
            await world.api("DELETE", f"/v2.0/floatingips/{fip['id']}")
        for gone in (subnet, other_subnet):
            answer = await world.api(
                "PUT", f"/v2.0/routers/{router}/remove_router_interface", {"subnet_id": gone}
            )
            assert answer.status == 200, answer
        async with asyncio.timeout(15):
            while (await flows(world, "n2", "br-int", "table=55")).count("table=55") > 1:
                await asyncio.sleep(0.1)
        assert not await world.pings(a.namespace, at_b, 1)

    story_in_a_cloud(story, routing=("n1",), config=replace(CLOUD_CONFIG, down_before_distributed=False))
