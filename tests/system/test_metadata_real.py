"""Guests read their metadata with curl, through a router and without one, by IPv4 and by IPv6."""

from __future__ import annotations

import asyncio

import pytest
from tests.system.node_world import MECHANISMS, NET, REAL, ROUTER, NodeWorld, story_in_a_world, subnet

from pileus.app.lab.lab import Lab
from pileus.drivers.netlink.linux import LinuxLinks
from pileus.drivers.process import ProgramFailed
from pileus.wire.metadata import MetadataReply, MetadataRequest

pytestmark = REAL
URL = "http://169.254.169.254/openstack/latest/meta_data.json"


def said(request: MetadataRequest) -> MetadataReply:
    where = f"network {request.network_id}" if request.network_id else f"router {request.router_id}"
    return MetadataReply(200, "text/plain", f"{request.path} to {request.source_ip} of {where}".encode())


async def eventually_curl(world: NodeWorld, namespace: str, url: str, *more: str) -> str:
    async with asyncio.timeout(15):
        while True:
            try:
                return await world.curl(namespace, url, *more)
            except ProgramFailed:
                await asyncio.sleep(0.1)


@MECHANISMS
def test_through_the_agents_own_port(make_lab: type[Lab]) -> None:
    async def story(world: NodeWorld) -> None:
        world.server.metadata = said
        guest, host = await world.guest()
        world.network(subnets=(subnet(1, gateway_is_router=False),), hosts=(host,))
        await world.leased(guest, host)
        address = host.addresses[0].ip_address
        told = await eventually_curl(world, guest.namespace, URL, "-H", "X-Forwarded-For: 10.1.0.99")
        assert told == f"/openstack/latest/meta_data.json to {address} of network {NET}"
        link = await LinuxLinks().links(guest.namespace)
        own = next(a.partition("/")[0] for a in link["eth0"].addresses if a.startswith("fe80:"))
        told = await eventually_curl(world, guest.namespace, "http://[fe80::a9fe:a9fe%25eth0]/openstack")
        assert told == f"/openstack to {own} of network {NET}"
        # The endpoint is opened again by another process, and in another namespace of the same name.
        await world.kill("metadata", "dhcp")
        for kind in ("metadata", "dhcp"):
            await world.start(kind)
        assert address in await eventually_curl(world, guest.namespace, URL)
        await world.links.delete_namespaces([world.namespace("dhcp", NET)])
        await asyncio.sleep(1)
        assert address in await eventually_curl(world, guest.namespace, URL)

    story_in_a_world(story, make_lab)


@MECHANISMS
def test_through_a_router(make_lab: type[Lab]) -> None:
    async def story(world: NodeWorld) -> None:
        world.server.metadata = said
        guest, host = await world.guest()
        world.network(hosts=(host,))
        world.router()
        told = await world.leased(guest, host)
        assert told["routes"] == [], "the router is the way to the metadata service"
        address = host.addresses[0].ip_address
        assert await eventually_curl(world, guest.namespace, URL) == (
            f"/openstack/latest/meta_data.json to {address} of router {ROUTER}"
        )
        password = URL.replace("meta_data.json", "password")
        posted = await world.curl(guest.namespace, password, "-d", "secret", "-H", "Expect: 100-continue")
        assert posted == ""
        assert world.server.asked[-1].body == b"secret"
        at_once = ("-d", "x" * 100_000, "-H", "Expect:", "-w", "%{http_code}")
        refused = await world.curl(guest.namespace, password, *at_once)
        assert refused.endswith("Request is too large.\n400")
        link = await LinuxLinks().links(guest.namespace)
        own = next(a.partition("/")[0] for a in link["eth0"].addresses if a.startswith("fe80:"))
        told6 = await eventually_curl(world, guest.namespace, "http://[fe80::a9fe:a9fe%25eth0]/openstack")
        assert told6 == f"/openstack to {own} of network {NET}"
        # Nobody else gets in: not at the port behind the redirection, and not from outside.
        for namespace, url in (
            (guest.namespace, "http://10.1.0.1:9697/"),
            (world.outside, "http://172.24.4.101:9697/"),
            (world.outside, "http://172.24.4.101/"),
        ):
            with pytest.raises(ProgramFailed):
                await world.curl(namespace, url, "-m", "1")

    story_in_a_world(story, make_lab)
