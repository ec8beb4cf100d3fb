"""The L3 agent with nftables, namespaces and Open vSwitch: packets through a router, counted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time

import pytest
from msgspec.structs import replace
from tests.system.node_world import (
    BEYOND,
    MECHANISMS,
    OUTSIDE,
    REAL,
    ROUTER,
    NodeWorld,
    story_in_a_world,
    until,
)

from pileus.app.lab.lab import Lab
from pileus.drivers.advertising.advertisers import Advertisement
from pileus.drivers.netlink.links import Address, Route
from pileus.drivers.process import run
from pileus.wire.dhcp import HostRoute, PortAddress
from pileus.wire.l3 import PortForwarding, RouterSubnet
from pileus.wire.qos import AddressQos, RateLimit
from pileus.wire.switch import FixedIP

pytestmark = REAL


@MECHANISMS
def test_out_by_the_gateway_in_by_the_floating_ip(make_lab: type[Lab]) -> None:
    async def story(world: NodeWorld) -> None:
        (a, at_a), (b, at_b) = await world.guest(1), await world.guest(2)
        world.network(1, hosts=(at_a,))
        world.network(2, hosts=(at_b,))
        world.router()
        await world.leased(a, at_a)
        await world.leased(b, at_b)
        fixed_a, fixed_b = at_a.addresses[0].ip_address, at_b.addresses[0].ip_address
        await world.pings_soon(a.namespace, "10.1.0.1")
        assert await world.pings(a.namespace, fixed_b), "between the inner networks"
        await world.pings_soon(a.namespace, OUTSIDE)
        assert await world.pings(a.namespace, BEYOND), "by the default route"
        assert not await world.pings(world.outside, "172.24.4.200", 1)
        world.router(floating_ips=(world.floating(200, fixed_a), world.floating(201, fixed_b)))
        await world.pings_soon(world.outside, "172.24.4.200")
        assert await world.pings(world.outside, "172.24.4.201")
        assert await world.pings(a.namespace, "172.24.4.201"), "a floating IP of the same router"
        assert await world.pings(a.namespace, "172.24.4.200"), "its own"
        assert await world.full_pass("l3") == 0
        world.router(floating_ips=())
        await until(lambda: world.server.translated == ())
        assert not await world.pings(world.outside, "172.24.4.200", 1)
        assert await world.pings(a.namespace, BEYOND)

    story_in_a_world(story, make_lab)


def test_neighbours_are_told_where_a_floating_ip_is_now() -> None:
    async def story(world: NodeWorld) -> None:
        guest, host = await world.guest()
        world.network(hosts=(host,))
        world.router()
        await world.leased(guest, host)
        await world.pings_soon(guest.namespace, BEYOND)
        # Somebody outside believes that it is elsewhere, and asks nobody.
        before = ("neigh", "replace", "172.24.4.200", "lladdr", "02:00:00:00:00:99", "dev", "eth0")
        await run(("ip", "-n", world.outside, *before, "nud", "reachable"))
        world.router(floating_ips=(world.floating(200, host.addresses[0].ip_address),))
        await world.pings_soon(world.outside, "172.24.4.200", 8)
        told = (await run(("ip", "-n", world.outside, "neigh", "show", "172.24.4.200"))).decode()
        assert "fa:16:3e:00:bb:01" in told

    story_in_a_world(story)


@pytest.mark.alone
def test_no_packet_is_lost_while_agents_die_and_come_back() -> None:
    async def story(world: NodeWorld) -> None:
        guest, host = await world.guest()
        world.network(hosts=(host,))
        world.router(floating_ips=(world.floating(200, host.addresses[0].ip_address),))
        await world.leased(guest, host)
        await world.pings_soon(world.outside, "172.24.4.200")
        async with world.program(guest.namespace, "receive", "5001") as inside:
            async with world.program(world.outside, "send", "172.24.4.200", "5001", "500", "4") as sending:
                for number in range(4):
                    kinds = ("l3", "dhcp", "metadata", "switch")[: number + 1]
                    await world.kill(*kinds)
                    for kind in kinds:
                        await world.start(kind)
                    await asyncio.sleep(0.7)
                # Another floating IP beside it comes and goes.
                world.router(
                    floating_ips=(
                        world.floating(200, host.addresses[0].ip_address),
                        world.floating(203, "10.2.0.99"),
                    )
                )
                sent, _ = await sending.communicate()
            await asyncio.sleep(0.3)
            inside.terminate()
            came, _ = await inside.communicate()
        report = json.loads(came)
        assert report["packets"] == int(sent), report["gaps"]
        assert await world.full_pass("l3") == 0
        assert await world.full_pass("dhcp") == 0

    story_in_a_world(story)


def test_connections_survive_a_restart_and_end_with_their_floating_ip() -> None:
    async def story(world: NodeWorld) -> None:
        guest, host = await world.guest()
        world.network(hosts=(host,))
        fixed = host.addresses[0].ip_address
        world.router(floating_ips=(world.floating(200, fixed),))
        await world.leased(guest, host)
        await world.pings_soon(world.outside, "172.24.4.200")
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(world.program(guest.namespace, "serve", "7000"))
            talking = await stack.enter_async_context(
                world.program(world.outside, "talk", "172.24.4.200", "7000")
            )
            assert talking.stdin is not None
            assert talking.stdout is not None

            async def says(word: str) -> str:
                assert talking.stdin is not None
                assert talking.stdout is not None
                talking.stdin.write(f"{word}\n".encode())
                return (await asyncio.wait_for(talking.stdout.readline(), 5)).decode().strip()

            assert await asyncio.wait_for(talking.stdout.readline(), 5) == b"connected\n"
            assert await says("before") == "before"
            await world.kill("l3")
            assert await says("without") == "without"
            await world.start("l3")
            agent = world.agents["l3"]
            await until(lambda: agent.metrics.full_passes == 1)
            assert agent.metrics.changes == 0
            assert await says("after") == "after"
            world.router(floating_ips=())
            await until(lambda: world.server.translated == ())
            assert await says("gone") == "silence"

    story_in_a_world(story)


def test_a_port_forwarding_carries_until_it_goes() -> None:
    async def story(world: NodeWorld) -> None:
        guest, host = await world.guest()
        world.network(hosts=(host,))
        fixed = host.addresses[0].ip_address
        forwarding = PortForwarding("pf-1", "fip-200", "172.24.4.200", "tcp", 2222, 2222, fixed, 7000, 7000)
        other = replace(forwarding, port_forwarding_id="pf-2", protocol="udp", internal_first=7001)
        both = (forwarding, replace(other, internal_last=7001))
        world.router(port_forwardings=both)
        await world.leased(guest, host)
        await until(lambda: world.server.translated == ("fip-200",))
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(world.program(guest.namespace, "serve", "7000"))
            at = ("talk", "172.24.4.200", "2222")
            talking = await stack.enter_async_context(world.program(world.outside, *at))
            assert talking.stdin is not None
            assert talking.stdout is not None

            async def says(word: str) -> str:
                assert talking.stdin is not None
                assert talking.stdout is not None
                talking.stdin.write(f"{word}\n".encode())
                return (await asyncio.wait_for(talking.stdout.readline(), 5)).decode().strip()

            assert await asyncio.wait_for(talking.stdout.readline(), 5) == b"connected\n"
            assert await says("through") == "through"
            inside = await stack.enter_async_context(world.program(guest.namespace, "receive", "7001"))
            sent = ("send", "172.24.4.200", "2222", "200", "1")
            async with world.program(world.outside, *sent) as sending:
                count, _ = await sending.communicate()
            await asyncio.sleep(0.3)
            inside.terminate()
            came, _ = await inside.communicate()
            assert json.loads(came)["packets"] == int(count) > 0
            await world.kill("l3")
            assert await says("without") == "without"
            await world.start("l3")
            await until(lambda: world.agents["l3"].metrics.full_passes == 1)
            assert world.agents["l3"].metrics.changes == 0
            # The floating IP stays for the other one, and the connection ends within a second.
            world.router(port_forwardings=both[1:])
            began = answered = time.monotonic()
            while await says("gone") == "gone":  # then silence, or the connection's end
                answered = time.monotonic()
                assert answered - began < 10
            assert answered - began < 1
        assert await world.full_pass("l3") == 0

    story_in_a_world(story)


def test_killed_at_each_point_the_end_is_the_same_and_everything_goes() -> None:
    async def story(world: NodeWorld) -> None:
        guest, host = await world.guest()
        await world.kill("l3")
        world.network(hosts=(host,))
        world.router(floating_ips=(world.floating(200, host.addresses[0].ip_address),))
        await world.leased(guest, host)
        for pause in (0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.25):
            await world.start("l3")
            await asyncio.sleep(pause)
            await world.kill("l3")
        await world.start("l3")
        await world.pings_soon(world.outside, "172.24.4.200")
        assert await world.full_pass("l3") == 0
        world.server.remove_router(ROUTER)
        world.server.remove_network(*list(world.server.networks))
        for pause in (0.01, 0.05, 0.1):
            await asyncio.sleep(pause)
            await world.kill("l3")
            await world.start("l3")
        for kind in ("l3", "dhcp"):
            agent = world.agents[kind]
            await until(lambda agent=agent: agent.metrics.full_passes > 0)
            await agent.reconciler.settled()
        assert await world.ours() == []

    story_in_a_world(story)


def test_a_router_whose_namespace_somebody_deletes_routes_again() -> None:
    async def story(world: NodeWorld) -> None:
        guest, host = await world.guest()
        world.network(hosts=(host,))
        world.router()
        await world.leased(guest, host)
        await world.pings_soon(guest.namespace, BEYOND)
        await world.links.delete_namespaces([world.namespace("l3", ROUTER)])
        async with asyncio.timeout(20):
            await asyncio.sleep(1)
            while await world.full_pass("l3"):
                pass
        await world.pings_soon(guest.namespace, BEYOND)

    story_in_a_world(story)


def test_extra_routes_lead_through_a_guest() -> None:
    async def story(world: NodeWorld) -> None:
        (a, at_a), (b, at_b) = await world.guest(1), await world.guest(2)
        world.network(1, hosts=(at_a,))
        world.network(2, hosts=(at_b,))
        world.router(routes=(HostRoute("10.77.0.0/24", at_b.addresses[0].ip_address),))
        await world.leased(a, at_a)
        await world.leased(b, at_b)
        # The subnet behind b is an address of b's; its port may send from there.
        details = world.switching.devices[at_b.port_id]
        world.switching.put_device(replace(details, port_security_enabled=False), "n1")
        await world.links.ensure_addresses([Address(b.namespace, "eth0", "10.77.0.1/32")])
        await world.pings_soon(a.namespace, "10.77.0.1")
        world.router(routes=())
        namespace = world.namespace("l3", ROUTER)

        async def routes() -> list[Route]:
            return list((await world.links.read([namespace]))[namespace].routes)

        async with asyncio.timeout(10):
            while any(route.destination == "10.77.0.0/24" for route in await routes()):
                await asyncio.sleep(0.05)

    story_in_a_world(story)


def test_guests_make_their_addresses_of_what_the_router_says() -> None:
    async def story(world: NodeWorld) -> None:
        router = world.router()
        interfaces = []
        for number, port in enumerate(router.interfaces, 1):
            six = RouterSubnet(
                f"six-{number}", f"fd0{number}::/64", f"fd0{number}::1", "slaac", ("fd01::53",)
            )
            addresses = (*port.port.addresses, PortAddress(f"fd0{number}::1", six.subnet_id))
            own = replace(port.port, addresses=addresses)
            interfaces.append(replace(port, port=own, subnets=(*port.subnets, six)))
            world.device(own, port.network_id, "network:router_interface")
        world.router(interfaces=tuple(interfaces))
        guests = []
        for number in (1, 2):
            guest, host = await world.guest(number)
            made = f"fd0{number}::" + Advertisement(
                namespace="", interface="", mac=host.mac_address, mtu=0
            ).source.removeprefix("fe80::")
            details = world.switching.devices[host.port_id]
            world.switching.put_device(
                replace(details, fixed_ips=(*details.fixed_ips, FixedIP(made, f"six-{number}"))), "n1"
            )
            guests.append((guest, made))
        for guest, made in guests:
            async with asyncio.timeout(15):
                while True:
                    link = (await world.links.links(guest.namespace))["eth0"]
                    if f"{made}/64" in link.addresses:
                        break
                    await asyncio.sleep(0.1)
        (a, _), (_, there) = guests
        await world.pings_soon(a.namespace, "fd01::1")
        await world.pings_soon(a.namespace, there)
        # A restart advertises again, and nobody is told that the router had gone.
        await world.kill("l3")
        await world.start("l3")
        assert await world.pings(a.namespace, there)
        # The router goes, and guests are told.
        world.router(interfaces=())

        async def ways() -> str:
            return (await world.lab.run(a, ["ip", "-6", "route", "show", "default"])).decode()

        async with asyncio.timeout(15):
            while await ways():
                await asyncio.sleep(0.1)

    story_in_a_world(story)


@pytest.mark.alone
@pytest.mark.slow
def test_a_floating_ip_and_a_gateway_are_limited_both_ways() -> None:
    limit_kbps = 2000

    async def story(world: NodeWorld) -> None:
        guest, host = await world.guest()
        world.network(hosts=(host,))
        floating = world.floating(200, host.addresses[0].ip_address)
        limit = RateLimit("q", limit_kbps, 0)
        world.router(
            floating_ips=(floating,), limits=(AddressQos(floating.floating_ip_address, limit, limit),)
        )
        await world.leased(guest, host)
        await world.pings_soon(world.outside, floating.floating_ip_address)

        async def rate_kbps(sender: str, receiver: str, address: str) -> float:
            """What comes in steady state: the burst and the first second's worth are over by then."""
            async with world.program(receiver, "receive", "5001", "3") as listening:
                async with world.program(sender, "send", address, "5001", "900", "6", "1000") as sending:
                    await sending.communicate()
                listening.terminate()
                came = json.loads((await listening.communicate())[0])
            # a router counts packets without their Ethernet header
            return float((came["octets"] - 14 * came["packets"]) * 8 / 1000 / came["seconds"])

        async def is_limited() -> list[bool]:
            found = [
                await rate_kbps(guest.namespace, world.outside, OUTSIDE),
                await rate_kbps(world.outside, guest.namespace, floating.floating_ip_address),
            ]
            assert all(rate > 0.9 * limit_kbps for rate in found), found
            return [rate < 1.1 * limit_kbps for rate in found]

        assert await is_limited() == [True, True]
        assert await world.full_pass("l3") == 0
        # without a floating IP the guest leaves under the gateway's address, which has a limit of its own
        world.router(floating_ips=(), limits=(AddressQos("172.24.4.101", egress=limit),))
        await until(lambda: world.server.translated == ())
        assert 0.9 * limit_kbps < await rate_kbps(guest.namespace, world.outside, OUTSIDE) < 1.1 * limit_kbps
        world.router(floating_ips=(floating,), limits=())
        await world.pings_soon(world.outside, floating.floating_ip_address)
        assert await is_limited() == [False, False]

    story_in_a_world(story)
