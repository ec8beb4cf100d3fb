"""Distributed routers on three hosts: packets between subnets never visit the network node, counted."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from msgspec.structs import replace
from tests.patience import PATIENCE
from tests.system.cloud_world import BEYOND, CLOUD_CONFIG, OUTSIDE, CloudWorld, SharedCloud
from tests.system.node_world import REAL

from pileus.app.lab.lab import Guest
from pileus.drivers.netlink.links import Address
from pileus.drivers.process import run

pytestmark = [*REAL, pytest.mark.alone]
RATE = 1000
WHILE_DISTRIBUTED = replace(CLOUD_CONFIG, down_before_distributed=False)


async def flows(world: CloudWorld, host: str, bridge: str, table: str = "") -> str:
    target = f"unix:{world.lab.hosts[host].run_dir}/{bridge}.mgmt"
    arguments = ("dump-flows", target, *([table] if table else []))
    return (await run(("ovs-ofctl", "-O", "OpenFlow15", *arguments))).decode()


async def crossed(world: CloudWorld, host: str) -> int:
    """How many packets came to a host's tunnel bridge."""
    text = await flows(world, host, "br-tun", "table=0")
    return sum(map(int, re.findall(r"n_packets=(\d+)", text)))


class Site(NamedTuple):
    """A router of two networks: ``a`` is on the first, ``b`` (on another host) and ``c`` on the second."""

    router: str
    subnets: tuple[str, str]
    networks: tuple[str, str]
    a: Guest
    b: Guest
    c: Guest
    port_a: str
    at_a: str
    at_b: str
    at_c: str


async def a_site(world: CloudWorld) -> Site:
    one, subnet = await world.network(1)
    two, other_subnet = await world.network(2)
    router = await world.router(subnet, other_subnet, distributed=True)
    a, port_a, at_a = await world.guest("n2", one, 1)
    b, _, at_b = await world.guest("n3", two, 2)
    c, _, at_c = await world.guest("n2", two, 2)
    for sender, address in ((a, "10.1.0.1"), (a, at_b), (a, at_c), (b, at_a), (c, "10.2.0.1")):
        await world.pings_soon(sender.namespace, address)
    world.prefer_the_switches()
    return Site(router, (subnet, other_subnet), (one, two), a, b, c, port_a, at_a, at_b, at_c)


@pytest.fixture(scope="module")
def cloud() -> Iterator[SharedCloud[Site]]:
    with SharedCloud(a_site, routing=("n1",), config=WHILE_DISTRIBUTED) as shared:
        yield shared


def test_a_hop_is_a_hop_and_a_router_no_end_of_the_way(cloud: SharedCloud[Site]) -> None:
    async def story(world: CloudWorld, site: Site) -> None:
        inside = ("ip", "netns", "exec", site.a.namespace, "ping", "-c", "2", "-i", "0.2", "-W", "1")
        await run((*inside, "-t", "2", site.at_b))
        shown = (await run((*inside, site.at_b))).decode()
        assert "ttl=63" in shown, shown

    cloud.tell(story)


def test_to_the_outside_by_the_network_node(cloud: SharedCloud[Site]) -> None:
    async def story(world: CloudWorld, site: Site) -> None:
        await world.pings_soon(site.a.namespace, OUTSIDE)
        await world.pings_soon(site.c.namespace, BEYOND)

    cloud.tell(story)


def test_addresses_that_are_anothers_are_let_go_nowhere(cloud: SharedCloud[Site]) -> None:
    async def story(world: CloudWorld, site: Site) -> None:
        forged = Address(site.a.namespace, "eth0", "10.1.0.99/32")
        await world.links.ensure_addresses([forged])
        words = f"ip netns exec {site.a.namespace} ping -c 1 -W 1 -I 10.1.0.99 {site.at_b} || true"
        assert "100% packet loss" in (await run(("sh", "-c", words))).decode()
        await run(("ip", "-n", site.a.namespace, "address", "del", forged.address, "dev", "eth0"))

    cloud.tell(story)


def test_agents_that_begin_anew_change_nothing_and_lose_nothing(cloud: SharedCloud[Site]) -> None:
    async def story(world: CloudWorld, site: Site) -> None:
        await world.compares()
        quiet = await crossed(world, "n1")
        sent, came = await world.stream(
            site.a.namespace,
            site.b.namespace,
            site.at_b,
            lambda: world.replace_agents(*((host, "switch") for host in ("n2", "n3", "n1"))),
            rate=RATE,
        )
        assert came == sent > RATE
        visited = await crossed(world, "n1") - quiet
        assert visited < 60, f"{visited} of {sent} packets visited the network node"

    cloud.tell(story)


@pytest.mark.parametrize("distributed", [False, True], ids=["central", "distributed"])
def test_packets_flow_while_it_becomes(distributed: bool, cloud: SharedCloud[Site]) -> None:
    async def story(world: CloudWorld, site: Site) -> None:
        async def turn() -> None:
            path = f"/v2.0/routers/{site.router}"
            changed = await world.admin("PUT", path, {"router": {"distributed": distributed}})
            assert changed.status == 200, changed
            async with asyncio.timeout(15 * PATIENCE):
                while ("table=55, n_packets" in await routed(world, "n2")) != distributed:
                    await asyncio.sleep(0.1)
            await asyncio.sleep(0.5)

        sent, came = await world.stream(site.a.namespace, site.b.namespace, site.at_b, turn, rate=RATE)
        assert (sent - came) / RATE < 0.2, f"{sent - came} of {sent} packets were lost"

    cloud.tell(story)


async def routed(world: CloudWorld, host: str) -> str:
    """What a host routes, without what it does with all else."""
    text = await flows(world, host, "br-int", "table=55")
    return "\n".join(line for line in text.splitlines() if "priority=0 " not in line)


def test_a_rule_is_obeyed_after_routing_as_before(cloud: SharedCloud[Site]) -> None:
    async def story(world: CloudWorld, site: Site) -> None:
        group = await world.api.make("security_group", name="closed")
        d, port, at_d = await world.guest("n3", site.networks[1], 2)
        await world.pings_soon(site.a.namespace, at_d)
        changes = {"port": {"security_groups": [group["id"]]}}
        assert (await world.api("PUT", f"/v2.0/ports/{port}", changes)).status == 200
        async with asyncio.timeout(10 * PATIENCE):
            while await world.pings(site.a.namespace, at_d, 1):
                pass
        await world.pings_soon(d.namespace, site.at_a)

    cloud.tell(story)


def test_nothing_is_left_of_it(cloud: SharedCloud[Site]) -> None:
    async def story(world: CloudWorld, site: Site) -> None:
        path = f"/v2.0/routers/{site.router}"
        for gone in site.subnets:
            answer = await world.api("PUT", f"{path}/remove_router_interface", {"subnet_id": gone})
            assert answer.status == 200, answer
        async with asyncio.timeout(15 * PATIENCE):
            while "table=55" in await routed(world, "n2"):
                await asyncio.sleep(0.1)
        assert not await world.pings(site.a.namespace, site.at_b, 1)

    cloud.tell(story)
