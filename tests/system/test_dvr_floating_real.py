"""Floating IPs of distributed routers, translated by the switch of their port's host: packets never visit the
network node, whoever restarts, and those that can't be translated there go by it as before."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from tests.patience import PATIENCE
from tests.system.cloud_world import BEYOND, OUTSIDE, CloudWorld, SharedCloud
from tests.system.node_world import REAL
from tests.system.test_dvr_real import WHILE_DISTRIBUTED, crossed, flows

from pileus.app.lab.lab import Guest
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
    async with asyncio.timeout(20 * PATIENCE):
        while (f"nat(src={address})" in await flows(world, host, "br-int")) != there:
            await asyncio.sleep(0.1)


async def held_centrally(world: CloudWorld, address: str) -> bool:
    (namespace,) = [
        name
        for line in (await run(("ip", "netns", "list"))).decode().splitlines()
        if (name := line.split()[0]).startswith(world.prefix("n1"))
    ]
    shown = (await run(("ip", "-n", namespace, "-br", "address"))).decode()
    return f"{address}/" in shown


class Site(NamedTuple):
    """A router of two networks: ``a`` and ``d`` are on the first one, ``b`` and ``c`` on the second, each but
    ``d`` with a floating IP; ``a`` and ``c`` are on the host n2."""

    router: str
    guests: dict[str, Guest]
    ports: dict[str, str]
    inside: dict[str, str]
    outside: dict[str, str]

    def ways(self, world: CloudWorld) -> tuple[tuple[str, str, str], ...]:
        """By the floating IP of ``a``: sender, receiver and address, in and out."""
        own = self.guests["a"].namespace
        return (world.outside, own, self.outside["a"]), (own, world.outside, BEYOND)


async def a_site(world: CloudWorld) -> Site:
    one, subnet = await world.network(1)
    two, other_subnet = await world.network(2)
    router = await world.router(subnet, other_subnet, distributed=True)
    guests, ports, inside = {}, {}, {}
    for name, host, network, number in (
        ("a", "n2", one, 1),
        ("b", "n3", two, 2),
        ("c", "n2", two, 2),
        ("d", "n3", one, 1),
    ):
        guests[name], ports[name], inside[name] = await world.guest(host, network, number)
    assert await gateways(world) == set()
    outside = {"a": await world.floating(ports["a"])}
    await translated(world, "n2", outside["a"])
    assert await gateways(world) == {"n2"}
    for name, host in (("b", "n3"), ("c", "n2")):
        outside[name] = await world.floating(ports[name])
        await translated(world, host, outside[name])
    await world.pings_soon(world.outside, outside["a"])
    world.prefer_the_switches()
    return Site(router, guests, ports, inside, outside)


@pytest.fixture(scope="module")
def cloud() -> Iterator[SharedCloud[Site]]:
    with SharedCloud(a_site, routing=("n1",), config=WHILE_DISTRIBUTED) as shared:
        yield shared


async def floating_ip(world: CloudWorld, address: str) -> dict[str, Any]:
    path = f"/v2.0/floatingips?floating_ip_address={address}"
    (found,) = (await world.api("GET", path)).json["floatingips"]
    return dict(found)


def test_in_and_out_and_from_one_to_another(cloud: SharedCloud[Site]) -> None:
    async def story(world: CloudWorld, site: Site) -> None:
        a = site.guests["a"].namespace
        await world.pings_soon(a, OUTSIDE)
        await world.pings_soon(a, BEYOND)
        await world.pings_soon(a, site.inside["b"])
        assert not await held_centrally(world, site.outside["a"])
        assert (await floating_ip(world, site.outside["a"]))["status"] == "ACTIVE"
        # On one host and across; and from who has none.
        for sender, receiver in ("ac", "ca", "ab", "ba", "da", "db"):
            await world.pings_soon(site.guests[sender].namespace, site.outside[receiver])

    cloud.tell(story)


def test_agents_that_begin_anew_change_nothing_and_lose_nothing(cloud: SharedCloud[Site]) -> None:
    async def story(world: CloudWorld, site: Site) -> None:
        await world.compares()
        quiet = await crossed(world, "n1")

        async def agents_die() -> None:
            await world.replace_agents(("n2", "switch"), ("n1", "switch"), ("n1", "l3"))

        for sender, receiver, address in site.ways(world):
            sent, came = await world.stream(sender, receiver, address, agents_die, rate=RATE)
            assert came == sent > RATE
        visited = await crossed(world, "n1") - quiet
        assert visited < 60, f"{visited} packets visited the network node"

    cloud.tell(story)


def test_a_policy_makes_it_the_network_nodes_while_packets_flow(cloud: SharedCloud[Site]) -> None:
    async def story(world: CloudWorld, site: Site) -> None:
        address = site.outside["a"]
        policy = await world.admin.make("policy", name="limited", shared=True)
        path = f"/v2.0/floatingips/{(await floating_ip(world, address))['id']}"

        async def limited(to: str | None) -> None:
            changed = await world.api("PUT", path, {"floatingip": {"qos_policy_id": to}})
            assert changed.status == 200, changed
            await translated(world, "n2", address, there=to is None)
            await asyncio.sleep(0.5)

        for to in (policy["id"], None):
            own = site.guests["a"].namespace
            sent, came = await world.stream(world.outside, own, address, lambda to=to: limited(to), rate=RATE)
            assert (sent - came) / RATE < 0.25, f"{sent - came} of {sent} packets were lost"
            assert await held_centrally(world, address) == (to is not None)

    cloud.tell(story)


def test_so_it_is_when_the_router_becomes_central_and_distributed(cloud: SharedCloud[Site]) -> None:
    async def story(world: CloudWorld, site: Site) -> None:
        async def turned(distributed: bool) -> None:
            changes = {"router": {"distributed": distributed}}
            assert (await world.admin("PUT", f"/v2.0/routers/{site.router}", changes)).status == 200
            await translated(world, "n2", site.outside["a"], there=distributed)
            await asyncio.sleep(0.5)

        for sender, receiver, address in site.ways(world):
            for to in (False, True):
                sent, came = await world.stream(
                    sender, receiver, address, lambda to=to: turned(to), rate=RATE
                )
                assert (sent - came) / RATE < 0.25, f"{sent - came} of {sent} packets were lost"

    cloud.tell(story)


def test_elsewhere_and_nowhere(cloud: SharedCloud[Site]) -> None:
    async def story(world: CloudWorld, site: Site) -> None:
        address = site.outside["a"]
        path = f"/v2.0/floatingips/{(await floating_ip(world, address))['id']}"
        await world.api("DELETE", f"/v2.0/floatingips/{(await floating_ip(world, site.outside['b']))['id']}")
        moved = await world.api("PUT", path, {"floatingip": {"port_id": site.ports["b"]}})
        assert moved.status == 200, moved
        await translated(world, "n3", address)
        await translated(world, "n2", address, there=False)
        await world.pings_soon(world.outside, address)
        for fip in (await world.api("GET", "/v2.0/floatingips")).json["floatingips"]:
            await world.api("DELETE", f"/v2.0/floatingips/{fip['id']}")
        async with asyncio.timeout(15 * PATIENCE):
            while await world.pings(world.outside, address, 1) or await gateways(world):
                pass
        await world.pings_soon(site.guests["a"].namespace, OUTSIDE)

    cloud.tell(story)
