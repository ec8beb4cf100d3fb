"""What hosts of distributed routers tell senders: where the time of a packet ends, and how long it may be."""

from __future__ import annotations

import asyncio
import contextlib

from tests.patience import PATIENCE
from tests.system.cloud_world import BEYOND, CloudWorld, story_in_a_cloud
from tests.system.node_world import REAL
from tests.system.test_dvr_floating_real import GATEWAY, translated
from tests.system.test_dvr_ipv6_real import a_guest, a_network

from pileus.drivers.process import run

pytestmark = REAL


async def said(namespace: str, address: str, *arguments: str) -> str:
    """What ping says of one packet, which may be lost."""
    words = ("ip", "netns", "exec", namespace, "ping", "-n", "-c", "1", "-W", "1", *arguments, address)
    return (await run(("sh", "-c", " ".join(words) + " 2>&1 || true"))).decode()


async def told(namespace: str, address: str, words: str, *arguments: str) -> None:
    """Wait until a sender is told so: a new MTU comes to a host when it comes."""
    heard = ""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(15 * PATIENCE):
            while words not in (heard := await said(namespace, address, *arguments)):
                await run(("ip", "-n", namespace, "route", "flush", "cache"))
    assert words in heard, heard


def test_senders_are_told() -> None:
    async def story(world: CloudWorld) -> None:
        one, subnets = await a_network(world, 1)
        two, others = await a_network(world, 2)
        await world.router(*subnets, *others, distributed=True)
        assert (await world.api("PUT", f"/v2.0/networks/{two}", {"network": {"mtu": 1300}})).status == 200
        a, new_a = await a_guest(world, "n2", one, 1)
        b, new_b = await a_guest(world, "n3", two, 2)
        ports = {port["mac_address"]: port for port in (await world.api("GET", "/v2.0/ports")).json["ports"]}
        owned = {port["network_id"]: port for port in ports.values() if port["device_owner"] == ""}
        old_b = next(ip["ip_address"] for ip in owned[two]["fixed_ips"] if ":" not in ip["ip_address"])
        await world.pings_soon(a.namespace, old_b)
        await world.pings_soon(a.namespace, new_b)

        # Between subnets.
        await told(a.namespace, old_b, "From 10.1.0.1 icmp_seq=1 Time to live exceeded", "-t", "1")
        await told(a.namespace, new_b, "From fd00:1::1 icmp_seq=1 Time exceeded", "-t", "1")
        long = ("-M", "do", "-s", "1350")
        await told(a.namespace, old_b, "From 10.1.0.1 icmp_seq=1 Frag needed and DF set (mtu = 1300)", *long)
        await told(a.namespace, new_b, "From fd00:1::1 icmp_seq=1 Packet too big: mtu=1300", *long)
        await told(a.namespace, old_b, " 0% packet loss", "-M", "do", "-s", "1272")
        # Who has heard of it makes shorter ones, and who lets them be taken apart has them taken apart.
        await told(a.namespace, new_b, " 0% packet loss", "-s", "1350")
        await run(("ip", "-n", a.namespace, "route", "flush", "cache"))
        await told(a.namespace, old_b, " 0% packet loss", "-M", "dont", "-s", "1350")
        await told(b.namespace, new_a, " 0% packet loss", "-M", "do", "-s", "1350")

        # By floating IPs, in and out.
        to_a, to_b = await world.floating(owned[one]["id"]), await world.floating(owned[two]["id"])
        await translated(world, "n2", to_a)
        await translated(world, "n3", to_b)
        await world.pings_soon(world.outside, to_b)
        own = {
            port["binding:host_id"]: port["fixed_ips"][0]["ip_address"]
            for port in (await world.admin("GET", f"/v2.0/ports?device_owner={GATEWAY}")).json["ports"]
        }
        hop = f"From {own['n3']} icmp_seq=1"
        await told(world.outside, to_b, f"{hop} Time to live exceeded", "-t", "1")
        await told(world.outside, to_b, " 0% packet loss", "-t", "2")
        await told(world.outside, to_b, f"{hop} Frag needed and DF set (mtu = 1300)", *long)
        await told(world.outside, to_b, " 0% packet loss", "-M", "dont", "-s", "1350")
        narrow = {"network": {"mtu": 1280}}
        assert (await world.admin("PUT", f"/v2.0/networks/{world.public}", narrow)).status == 200
        needed = "From 10.1.0.1 icmp_seq=1 Frag needed and DF set (mtu = 1280)"
        await told(a.namespace, BEYOND, needed, *long)
        await told(a.namespace, BEYOND, " 0% packet loss", "-M", "dont", "-s", "1350")

    story_in_a_cloud(story, routing=("n1",))
