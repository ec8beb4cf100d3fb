"""Distributed routers and IPv6: between subnets by the sender's host, all else by the router's own port."""

from __future__ import annotations

from typing import Any

from tests.system.cloud_world import CloudWorld, story_in_a_cloud
from tests.system.node_world import REAL
from tests.system.test_dvr_real import crossed

from pileus.drivers.netlink.links import Address, Route
from pileus.drivers.process import run

pytestmark = REAL


async def a_network(world: CloudWorld, number: int) -> tuple[str, list[str]]:
    network, old = await world.network(number)
    values = {"cidr": f"fd00:{number}::/64", "ip_version": 6, "enable_dhcp": False}
    new = await world.api.make("subnet", network_id=network, **values)
    return network, [old, new["id"]]


async def a_guest(world: CloudWorld, host: str, network: str, number: int) -> tuple[Any, str]:
    """A guest of both families, and its address of the new one."""
    guest, port_id, _ = await world.guest(host, network, number)
    port = (await world.api("GET", f"/v2.0/ports/{port_id}")).json["port"]
    (address,) = [ip["ip_address"] for ip in port["fixed_ips"] if ":" in ip["ip_address"]]
    await world.links.ensure_addresses([Address(guest.namespace, "eth0", f"{address}/64")])
    await world.links.ensure_routes([Route(guest.namespace, "::/0", via=f"fd00:{number}::1", device="eth0")])
    return guest, address


def test_ipv6_takes_the_short_way() -> None:
    async def story(world: CloudWorld) -> None:
        one, subnets = await a_network(world, 1)
        two, others = await a_network(world, 2)
        await world.router(*subnets, *others, distributed=True, gateway=False)
        a, at_a = await a_guest(world, "n2", one, 1)
        b, at_b = await a_guest(world, "n3", two, 2)
        c, at_c = await a_guest(world, "n2", two, 2)
        await world.pings_soon(a.namespace, "fd00:1::1")
        for sender, address in ((a, at_b), (a, at_c), (b, at_a), (c, at_a), (b, "fd00:1::1")):
            await world.pings_soon(sender.namespace, address)
        inside = ("ip", "netns", "exec", a.namespace, "ping", "-W", "1")
        before = await crossed(world, "n1")
        shown = (await run((*inside, "-c", "300", "-i", "0.01", at_b))).decode()
        assert " 0% packet loss" in shown and "ttl=63" in shown, shown
        # Multicast of new guests (listener reports, solicitations of routers) floods to every host.
        visited = await crossed(world, "n1") - before
        assert visited < 60, f"{visited} frames came to the network node"
        ended = (
            await run(("sh", "-c", " ".join((*inside, "-c", "1", "-t", "1", at_b)) + " || true"))
        ).decode()
        assert "From fd00:1::1 icmp_seq=1 Time exceeded" in ended, ended

    story_in_a_cloud(story, routing=("n1",))
