"""Floating IPs of distributed routers, translated by the switch of their port's host: packets never visit the
network node, whoever restarts, and those that can't be translated there go by it as before."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace
from tests.system.cloud_world import BEYOND, CLOUD_CONFIG, OUTSIDE, CloudWorld, story_in_a_cloud, until
from tests.system.node_world import REAL
from tests.system.test_dvr_real import crossed, flows

from pileus.drivers.process import run

pytestmark = [*REAL, pytest.mark.alone]
RATE = 1000
GATEWAY = "network:floatingip_agent_gateway"


async def gateways(world: CloudWorld) -> set[str]:
    """The hosts that translate."""
    ports = (await world.admin("GET", f"/v2.0/ports?device_owner={GATEWAY}")).json["ports"]
    return {port["binding:host_id"] for port in ports}


async def translated(world: CloudWorld, host: str, address: str, *, there: bool = True) -> None:
    """Wait until a host translates a floating IP, or does not."""
    async with asyncio.timeout(20):
        while (f"nat(src={address})" in await flows(world, host, "br-int", "table=55")) != there:
            await asyncio.sleep(0.1)


async def held_centrally(world: CloudWorld, address: str) -> bool:
    (namespace,) = [
        name
        for line in (await run(("ip", "netns", "list"))).decode().splitlines()
        if (name := line.split()[0]).startswith(world.prefix("n1"))
    ]
    shown = (await run(("ip", "-n", namespace, "-br", "address"))).decode()
    return f"{address}/" in shown


def test_floating_ips_take_the_short_way() -> None:
    async def story(world: CloudWorld) -> None:
        one, subnet = await world.network(1)
        two, other_subnet = await world.network(2)
        router = await world.router(subnet, other_subnet, distributed=True)
        a, a_port, _ = await world.guest("n2", one, 1)
        b, b_port, at_b = await world.guest("n3", two, 2)
        c, c_port, _ = await world.guest("n2", two, 2)
        d, _, _ = await world.guest("n3", one, 1)
        assert await gateways(world) == set()
        to_a = await world.floating(a_port)
        await translated(world, "n2", to_a)
        assert await gateways(world) == {"n2"}
        await world.pings_soon(world.outside, to_a)
        await world.pings_soon(a.namespace, OUTSIDE)
        assert await world.pings(a.namespace, BEYOND), "by the subnet's gateway"
        assert await world.pings(a.namespace, at_b), "inside as before"
        assert not await held_centrally(world, to_a)
        (floating,) = (await world.api("GET", "/v2.0/floatingips")).json["floatingips"]
        assert floating["status"] == "ACTIVE"

        # From one floating IP to another, on one host and across; and from who has none.
        to_b, to_c = await world.floating(b_port), await world.floating(c_port)
        await translated(world, "n3", to_b)
        await translated(world, "n2", to_c)
        for sender, address in ((a, to_c), (c, to_a), (a, to_b), (b, to_a), (d, to_a), (d, to_b)):
            await world.pings_soon(sender.namespace, address)

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
            for kind, host in (("switch", "n2"), ("switch", "n1"), ("l3", "n1")):
                await world.drop(host, kind)
                await world.start(host, kind)
                await until(lambda at=(host, kind): world.agents[at].metrics.full_passes > 0)

        for sender, receiver, address in (
            (world.outside, a.namespace, to_a),
            (a.namespace, world.outside, BEYOND),
        ):
            sent, came = await world.stream(sender, receiver, address, agents_die, rate=RATE)
            print(f"{sent - came} of {sent} packets lost while agents died")
            assert came == sent > RATE
        visited = await crossed(world, "n1") - quiet
        print(f"{visited} packets visited the network node")
        assert visited < 60

        # A policy makes it the network node's, and without it it comes back; packets flow meanwhile.
        policy = await world.admin.make("policy", name="limited", shared=True)

        async def limited(to: str | None) -> None:
            path = f"/v2.0/floatingips/{floating['id']}"
            changed = await world.api("PUT", path, {"floatingip": {"qos_policy_id": to}})
            assert changed.status == 200, changed
            await translated(world, "n2", to_a, there=to is None)
            await asyncio.sleep(0.5)

        for to in (policy["id"], None):
            sent, came = await world.stream(
                world.outside, a.namespace, to_a, lambda to=to: limited(to), rate=RATE
            )
            print(f"policy {bool(to)}: {(sent - came) / RATE:.3f} s lost")
            assert (sent - came) / RATE < 0.25
            assert await held_centrally(world, to_a) == (to is not None)

        # So it is when the router becomes central and distributed again.
        async def turned(distributed: bool) -> None:
            changes = {"router": {"distributed": distributed}}
            assert (await world.admin("PUT", f"/v2.0/routers/{router}", changes)).status == 200
            await translated(world, "n2", to_a, there=distributed)
            await asyncio.sleep(0.5)

        for to in (False, True):
            for sender, receiver, address in (
                (world.outside, a.namespace, to_a),
                (a.namespace, world.outside, BEYOND),
            ):
                sent, came = await world.stream(
                    sender, receiver, address, lambda to=to: turned(to), rate=RATE
                )
                print(f"distributed={to}: {(sent - came) / RATE:.3f} s lost")
                assert (sent - came) / RATE < 0.25
                await turned(not to)
            await turned(to)

        # Elsewhere, and nowhere.
        path = f"/v2.0/floatingips/{floating['id']}"
        await world.api("DELETE", f"/v2.0/floatingips/{await _id(world, to_b)}")
        assert (await world.api("PUT", path, {"floatingip": {"port_id": b_port}})).status == 200
        await translated(world, "n3", to_a)
        await translated(world, "n2", to_a, there=False)
        await world.pings_soon(world.outside, to_a)
        for address in (to_a, to_c):
            await world.api("DELETE", f"/v2.0/floatingips/{await _id(world, address)}")
        async with asyncio.timeout(15):
            while await world.pings(world.outside, to_a, 1) or await gateways(world):
                pass
        await world.pings_soon(a.namespace, OUTSIDE)

    story_in_a_cloud(story, routing=("n1",), config=replace(CLOUD_CONFIG, down_before_distributed=False))


async def _id(world: CloudWorld, address: str) -> str:
    found = (await world.api("GET", f"/v2.0/floatingips?floating_ip_address={address}")).json["floatingips"]
    return str(found[0]["id"])
