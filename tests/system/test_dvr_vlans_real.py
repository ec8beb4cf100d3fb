"""Distributed routers on VLANs: hosts route by the physical network, which learns the router at one place."""

from __future__ import annotations

import json
from typing import Any

from msgspec.structs import replace
from tests.system.cloud_world import CLOUD_CONFIG, CloudWorld, story_in_a_cloud
from tests.system.node_world import REAL
from tests.system.test_dvr_floating_real import translated

from pileus.drivers.process import run
from pileus.services.network.rules.segments import Ranges

pytestmark = REAL
VLANS = replace(
    CLOUD_CONFIG, ranges=Ranges(flat=("*",), vlan={"physnet1": [(100, 200)]}, vxlan=((1, 10000),))
)


async def a_vlan(world: CloudWorld, number: int) -> tuple[str, str]:
    """A network of the project on the VLAN 100 + NUMBER, and its subnet 10.NUMBER.0.0/24."""
    project = (await world.api.make("security_group", name=f"of-{number}"))["project_id"]
    provider = {"network_type": "vlan", "physical_network": "physnet1", "segmentation_id": 100 + number}
    values: dict[str, Any] = {f"provider:{name}": value for name, value in provider.items()}
    network = await world.admin.make("network", project_id=project, mtu=1450, **values)
    subnet = {"network_id": network["id"], "cidr": f"10.{number}.0.0/24", "ip_version": 4}
    made = await world.api.make("subnet", **subnet, enable_dhcp=False)
    return network["id"], made["id"]


async def learnt(world: CloudWorld) -> dict[str, set[str]]:
    """The hosts at which the physical network's switch has learnt addresses."""
    shown = await run(("bridge", "-n", f"{world.name}-wire", "fdb", "show", "br", "physical", "dynamic"))
    found: dict[str, set[str]] = {}
    for line in shown.decode().splitlines():
        mac, _, port, *_ = line.split()
        found.setdefault(mac, set()).add(port.removeprefix("p-"))
    return found


async def heard_from(world: CloudWorld, sender: str, receiver: str, address: str) -> list[str]:
    """The hardware addresses that pings have come from."""
    async with world.program(receiver, "senders", "eth0") as listening:
        await world.pings_soon(sender, address)
        listening.terminate()
        said, _ = await listening.communicate()
    return list(json.loads(said))


def test_hosts_route_between_vlans() -> None:
    async def story(world: CloudWorld) -> None:
        one, subnet = await a_vlan(world, 1)
        two, other = await a_vlan(world, 2)
        three, tunnelled = await world.network(3)
        await world.router(subnet, other, tunnelled, distributed=True)
        owned = "network:router_interface_distributed"
        ports = (await world.api("GET", f"/v2.0/ports?device_owner={owned}")).json["ports"]
        router = {port["network_id"]: port["mac_address"] for port in ports}
        a, a_port, at_a = await world.guest("n2", one, 1)
        b, _, at_b = await world.guest("n3", two, 2)
        c, _, at_c = await world.guest("n3", three, 3)
        d, _, at_d = await world.guest("n1", two, 2)
        for sender, address in ((a, at_b), (b, at_a), (a, at_c), (c, at_a), (a, at_d), (d, at_a)):
            await world.pings_soon(sender.namespace, address)
        # A guest hears its router, whoever has routed.
        assert await heard_from(world, a.namespace, b.namespace, at_b) == [router[two]]
        assert await heard_from(world, c.namespace, a.namespace, at_a) == [router[one]]
        places = await learnt(world)
        assert all(places.get(mac, {"n1"}) == {"n1"} for mac in router.values()), places
        own = {mac: where for mac, where in places.items() if mac.startswith("fa:16:3f:")}
        assert sorted(where for (where,) in own.values()) == ["n1", "n2", "n3"], places

        # Nobody in between is needed, nor for a floating IP.
        floating = await world.floating(a_port)
        await translated(world, "n2", floating)
        await world.kill_everything("n1")
        for sender, address in ((a, at_b), (b, at_a), (a, at_c), (c, at_a)):
            await world.pings_soon(sender.namespace, address)
        await world.pings_soon(world.outside, floating)

    story_in_a_cloud(story, routing=("n1",), config=VLANS)
