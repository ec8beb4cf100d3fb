"""Distributed routers and IPv6: between subnets by the sender's host, which also tells its guests of them."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

from msgspec.structs import replace
from tests.patience import PATIENCE
from tests.system.cloud_world import CLOUD_CONFIG, CloudWorld, story_in_a_cloud
from tests.system.node_world import REAL
from tests.system.test_dvr_real import crossed, flows

from pileus.drivers.netlink.links import Address, Route
from pileus.drivers.process import run

pytestmark = REAL


async def a_network(world: CloudWorld, number: int, mode: str | None = None) -> tuple[str, list[str]]:
    network, old = await world.network(number)
    values: dict[str, Any] = {"cidr": f"fd00:{number}::/64", "ip_version": 6, "enable_dhcp": bool(mode)}
    if mode:
        values |= {"ipv6_ra_mode": mode, "ipv6_address_mode": mode}
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


async def a_guest_alone(world: CloudWorld, host: str, network: str, number: int) -> tuple[Any, str]:
    """A guest that finds its address and its way out by itself."""
    guest, port_id, _ = await world.guest(host, network, number)
    port = (await world.api("GET", f"/v2.0/ports/{port_id}")).json["port"]
    (address,) = [ip["ip_address"] for ip in port["fixed_ips"] if ":" in ip["ip_address"]]
    async with asyncio.timeout(20 * PATIENCE):
        while not (address in await shown(guest, "addr") and "default" in await shown(guest, "route")):
            await asyncio.sleep(0.1)
    return guest, address


async def shown(guest: Any, what: str) -> str:
    found = await run(("ip", "-6", "-n", guest.namespace, what, "show", "dev", "eth0"))
    return " ".join(line for line in found.decode().splitlines() if "tentative" not in line)


async def heard(guest: Any) -> int:
    """How many advertisements a guest has taken."""
    counters = await run(("ip", "netns", "exec", guest.namespace, "cat", "/proc/net/snmp6"))
    (line,) = [one for one in counters.decode().splitlines() if one.startswith("Icmp6InRouterAdvert")]
    return int(line.split()[1])


def test_guests_find_their_router_on_their_host() -> None:
    async def story(world: CloudWorld) -> None:
        one, subnets = await a_network(world, 1, "slaac")
        two, others = await a_network(world, 2, "slaac")
        router = await world.router(*subnets, *others, distributed=True, gateway=False)
        a, _ = await a_guest_alone(world, "n2", one, 1)
        _, at_b = await a_guest_alone(world, "n3", two, 2)
        on_center, _ = await a_guest_alone(world, "n1", one, 1)
        await world.pings_soon(a.namespace, at_b)
        await world.pings_soon(on_center.namespace, at_b)
        said = json.loads(await world.run_program(a.namespace, "solicit", "eth0", "fd00:1::1"))
        assert said["from"] == "fd00:1::1" and said["flags"] == 0xE0, said

        # What the router's own port says is heard by none of those who are told by their host.
        await asyncio.sleep(3.5 * PATIENCE)  # the host has said all that it says at the beginning
        before = [await heard(one) for one in (a, on_center)]
        refused = await dropped(world, "n2")
        await world.drop("n1", "l3")
        await world.start("n1", "l3")
        async with asyncio.timeout(15 * PATIENCE):
            while await dropped(world, "n2") == refused:
                await asyncio.sleep(0.1)
        assert [await heard(one) for one in (a, on_center)] == before

        # A central one now, and a distributed one again: it is their way out all the time.
        for distributed in (False, True):
            changes = {"router": {"distributed": distributed}}
            assert (await world.admin("PUT", f"/v2.0/routers/{router}", changes)).status == 200
            async with asyncio.timeout(15 * PATIENCE):
                while (
                    ("icmp_type=134" in await flows(world, "n2", "br-int", "table=60")) != distributed
                ) or (not lasting(await shown(a, "route"))):
                    await asyncio.sleep(0.1)

        # Nobody else is needed.
        await world.kill_everything("n1")
        c, _ = await a_guest_alone(world, "n2", two, 2)
        d, at_d = await a_guest_alone(world, "n3", one, 1)
        for sender, address in ((c, at_d), (d, at_b), (a, at_b), (c, "fd00:2::1")):
            await world.pings_soon(sender.namespace, address)

    config = replace(CLOUD_CONFIG, down_before_distributed=False)
    story_in_a_cloud(story, routing=("n1",), config=config)


async def dropped(world: CloudWorld, host: str) -> int:
    """Advertisements of the router's own port that a host kept from its guests."""
    text = await flows(world, host, "br-int", "table=60")
    return sum(
        int(found[1])
        for line in text.splitlines()
        if "icmp_type=134" in line and "in_port" in line and (found := re.search(r"n_packets=(\d+)", line))
    )


async def is_told(world: CloudWorld, host: str) -> bool:
    """Whether a host itself advertises routers to its guests."""
    return "icmp_type=134" in await flows(world, host, "br-int", "table=60")


def lasting(routes: str) -> bool:
    """Whether the way out is there for more than a moment."""
    found = re.search(r"default .*?expires (\d+)sec", routes)
    return found is not None and int(found[1]) > 60


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
