"""The DHCP agent with dnsmasq, namespaces and Open vSwitch; guests ask by a DHCP client."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

from msgspec.structs import replace
from tests.system.node_world import MECHANISMS, MTU, NET, REAL, NodeWorld, story_in_a_world, subnet, until

from pileus.app.lab.lab import Lab
from pileus.drivers.process import ProgramFailed
from pileus.wire.dhcp import HostRoute

pytestmark = REAL


def pid_of(world: NodeWorld, network_id: str = NET) -> int:
    number = world.dnsmasq._pid(network_id)
    assert number is not None
    return number


@MECHANISMS
def test_a_guest_gets_its_lease_and_what_it_is_told(make_lab: type[Lab]) -> None:
    async def story(world: NodeWorld) -> None:
        routes = (HostRoute("192.168.0.0/16", "10.1.0.250"),)
        guest, host = await world.guest()
        world.network(subnets=(subnet(1, host_routes=routes, gateway_is_router=False),), hosts=(host,))
        told = await world.leased(guest, host)
        assert told["address"] == host.addresses[0].ip_address
        assert (told["mtu"], told["resolvers"], told["router"]) == (MTU, ["9.9.9.9"], "10.1.0.1")
        assert set(told["routes"]) == {
            "192.168.0.0/16,10.1.0.250",
            "169.254.169.254/32,10.1.0.2",
            "0.0.0.0/0,10.1.0.1",
        }
        assert await world.pings(guest.namespace, "10.1.0.2")
        await until(lambda: ("started", told["address"]) in world.server.leases)
        leases = await world.agents["dhcp"].leases(NET)
        assert [(lease.address, lease.mac) for lease in leases] == [(told["address"], host.mac_address)]
        assert await world.full_pass("dhcp") == 0

    story_in_a_world(story, make_lab)


def test_names_of_guests_are_resolved_where_no_other_resolver_is_given() -> None:
    async def story(world: NodeWorld) -> None:
        (a, at_a), (b, at_b) = await world.guest(), await world.guest()
        world.network(
            subnets=(subnet(1, dns_nameservers=()),), hosts=(at_a, at_b), dns_domain="cloud.example."
        )
        told = await world.leased(a, at_a)
        assert (told["resolvers"], told["domain"]) == (["10.1.0.2"], "cloud.example")
        await world.leased(b, at_b)
        for name in (at_b.hostname, f"{at_b.hostname}.cloud.example"):
            answer = await world.lab.run(a, ["busybox", "nslookup", name, "10.1.0.2"])
            assert at_b.addresses[0].ip_address in answer.decode()
        # A name in a domain of its own is known before its guest has asked for anything.
        _, at_c = await world.guest()
        world.network(
            subnets=(subnet(1, dns_nameservers=()),),
            hosts=(at_a, at_b, replace(at_c, hostname="web", domain="shop.example.")),
            dns_domain="cloud.example.",
        )

        async def resolved() -> None:
            while True:
                with contextlib.suppress(ProgramFailed):
                    found = await world.lab.run(a, ["busybox", "nslookup", "web.shop.example", "10.1.0.2"])
                    if at_c.addresses[0].ip_address in found.decode():
                        return

        async with asyncio.timeout(10):
            await resolved()

    story_in_a_world(story)


def test_hosts_come_and_go_without_a_restart_and_addresses_are_handed_over() -> None:
    async def story(world: NodeWorld) -> None:
        (a, at_a), (b, at_b) = await world.guest(), await world.guest()
        world.network(hosts=(at_a,))
        await world.leased(a, at_a)
        first = pid_of(world)
        assert await world.ask(b, at_b) is None, "nobody knows it yet"
        world.network(hosts=(at_a, at_b))
        assert (await world.leased(b, at_b))["address"] == at_b.addresses[0].ip_address
        # The address of a port that went belongs to another at once.
        taken = replace(at_b, addresses=at_a.addresses)
        world.network(hosts=(taken,))
        await asyncio.sleep(0)

        async def handed_over() -> None:
            while True:
                told = await world.ask(b, at_b)
                if told is not None and told["address"] == at_a.addresses[0].ip_address:
                    return

        async with asyncio.timeout(10):
            await handed_over()
        assert await world.ask(a, at_a) is None
        assert pid_of(world) == first

    story_in_a_world(story)


def test_dnsmasq_outlives_the_agent_and_comes_back_when_it_is_killed() -> None:
    async def story(world: NodeWorld) -> None:
        guest, host = await world.guest()
        world.network(hosts=(host,))
        await world.leased(guest, host)
        first = pid_of(world)
        await world.kill("dhcp")
        assert await world.ask(guest, host) is not None, "it serves without its agent"
        await world.start("dhcp")
        agent = world.agents["dhcp"]
        await until(lambda: agent.metrics.full_passes == 1)
        assert agent.metrics.changes == 0
        assert pid_of(world) == first
        os.kill(first, signal.SIGKILL)
        await until(lambda: world.dnsmasq._pid(NET) not in (None, first))
        assert (await world.leased(guest, host))["address"] == host.addresses[0].ip_address

    story_in_a_world(story)


def test_killed_at_each_point_of_its_first_pass_the_end_is_the_same() -> None:
    async def story(world: NodeWorld) -> None:
        guest, host = await world.guest()
        await world.kill("dhcp")
        world.network(hosts=(host,))
        world.network(2)
        for pause in (0.01, 0.03, 0.06, 0.1, 0.15, 0.2):
            await world.start("dhcp")
            await asyncio.sleep(pause)
            await world.kill("dhcp")
        await world.start("dhcp")
        assert (await world.leased(guest, host))["address"] == host.addresses[0].ip_address
        assert await world.full_pass("dhcp") == 0
        world.server.remove_network(*list(world.server.networks))
        for pause in (0.01, 0.05, 0.1):
            await asyncio.sleep(pause)
            await world.kill("dhcp")
            await world.start("dhcp")
        agent = world.agents["dhcp"]
        await until(lambda: agent.metrics.full_passes > 0)
        await agent.reconciler.settled()
        assert await world.ours() == []

    story_in_a_world(story)


def test_a_namespace_that_somebody_deletes_serves_again() -> None:
    async def story(world: NodeWorld) -> None:
        guest, host = await world.guest()
        world.network(hosts=(host,))
        await world.leased(guest, host)
        await world.links.delete_namespaces([world.namespace("dhcp", NET)])
        async with asyncio.timeout(20):
            await asyncio.sleep(1)  # the dnsmasq that lost its namespace goes on answering until it is found
            while await world.full_pass("dhcp"):
                pass
        assert (await world.leased(guest, host))["address"] == host.addresses[0].ip_address

    story_in_a_world(story)
