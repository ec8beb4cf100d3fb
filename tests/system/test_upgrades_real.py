"""Agents of another version take the place of those that run, while 1,000 packets a second go by each kind of
way: packets are counted.

Another version has its flows in other tables of the switch, chains of other names and other priorities in
the routers (so that the whole table of nftables is made anew), and another file for keepalived.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace
from tests.system.cloud_world import BEYOND, OUTSIDE, CloudWorld, SharedCloud, until
from tests.system.node_world import REAL

import pileus.drivers.keepalived.driver
import pileus.host.l3.apply
from pileus.drivers.keepalived import driver as keepalived
from pileus.drivers.keepalived.render import render as render_virtual_router
from pileus.drivers.nft.router import render as render_router
from pileus.drivers.nft.table import Table
from pileus.host.l2 import tables

pytestmark = [
    *REAL,
    pytest.mark.alone,
    pytest.mark.skipif(bool(keepalived.missing_programs()), reason="keepalived is not installed"),
]
RATE = 1000
LOST_BY_CHANCE = 5
"""In 5 ms: flows that go before others are there are away for hundreds."""
WAYS = (
    "out by source NAT",
    "in by a floating IP",
    "out by a floating IP",
    "by a forwarded port",
    "between subnets",
    "in by a floating IP of high availability",
    "out by source NAT of high availability",
    "between subnets, distributed",
    "in by a distributed floating IP",
    "out by a distributed floating IP",
)
MOVED = (
    *("SOURCE", "EGRESS_STATE", "DELIVER", "INGRESS_STATE"),
    *("ROUTE", "FLOATING_IN", "FLOATING_OUT", "NEIGHBOURS"),
)
"""Tables of a switch that stand elsewhere in the other version."""


class Way(NamedTuple):
    """Who sends to whom."""

    sender: str
    receiver: str
    address: str


Site = dict[str, Way]


async def a_site(world: CloudWorld) -> Site:
    """A central router, one of high availability and a distributed one, each of two networks with a guest on
    n3 and one on n2."""
    central = await _routed(world, 1)
    forwarded = await _forwarded(world, central.second_port, central.second_address)
    available = await _routed(world, 3, ha=True)
    distributed = await _routed(world, 5, distributed=True)
    one, two = central, available
    ways = {
        "out by source NAT": Way(one.second, world.outside, BEYOND),
        "in by a floating IP": Way(world.outside, one.first, one.floating),
        "out by a floating IP": Way(one.first, world.outside, BEYOND),
        "by a forwarded port": Way(world.outside, one.second, forwarded),
        "between subnets": Way(one.first, one.second, one.second_address),
        "in by a floating IP of high availability": Way(world.outside, two.first, two.floating),
        "out by source NAT of high availability": Way(two.second, world.outside, BEYOND),
    }
    one = distributed
    ways |= {
        "between subnets, distributed": Way(one.first, one.second, one.second_address),
        "in by a distributed floating IP": Way(world.outside, one.first, one.floating),
        "out by a distributed floating IP": Way(one.first, world.outside, BEYOND),
    }
    for way in ways.values():
        if way.address != forwarded:
            await world.pings_soon(way.sender, way.address)
    world.prefer_the_switches()
    return ways


class Routed(NamedTuple):
    """A router's two guests: their namespaces; the floating IP of the first, the port of the second."""

    first: str
    second: str
    floating: str
    second_port: str
    second_address: str


async def _routed(world: CloudWorld, number: int, **values: Any) -> Routed:
    one, subnet = await world.network(number)
    two, other = await world.network(number + 1)
    router = await world.router(subnet, other, **values)
    first, port, _ = await world.guest("n3", one, number)
    second, second_port, address = await world.guest("n2", two, number + 1)
    floating = await world.floating(port)
    if values.get("ha"):
        await _has_one_active(world, router)
    await world.pings_soon(first.namespace, OUTSIDE)
    await world.pings_soon(world.outside, floating)
    return Routed(first.namespace, second.namespace, floating, second_port, address)


async def _has_one_active(world: CloudWorld, router: str) -> None:
    async with asyncio.timeout(30):
        while sorted((await world.states(router)).values()) != ["active", "standby"]:
            await asyncio.sleep(0.1)


async def _forwarded(world: CloudWorld, port: str, address: str) -> str:
    """A floating IP whose port of the streams leads to the guest."""
    made = await world.api.make("floatingip", floating_network_id=world.public)
    forwarding = {
        "internal_port_id": port,
        "internal_ip_address": address,
        "protocol": "udp",
        "internal_port": 5001,
        "external_port": 5001,
    }
    path = f"/v2.0/floatingips/{made['id']}/port_forwardings"
    answer = await world.api("POST", path, {"port_forwarding": forwarding})
    assert answer.status == 201, answer
    return str(made["floating_ip_address"])


@pytest.fixture(scope="module")
def cloud() -> Iterator[SharedCloud[Site]]:
    with SharedCloud(a_site, routing=("n1", "n2")) as shared:
        yield shared


def other_table(rules: Any) -> Table:
    """A router's rules as another version has them."""
    table = render_router(rules)
    chains = tuple(
        replace(
            chain,
            name=f"other_{chain.name}" if chain.base is not None and chain.base.type == "nat" else chain.name,
            base=replace(chain.base, priority=chain.base.priority + 1) if chain.base is not None else None,
        )
        for chain in table.chains
    )
    return replace(table, chains=chains)


def other_file(*arguments: Any) -> str:
    """keepalived's file as another version has it."""
    return f"# another version\n{render_virtual_router(*arguments)}".replace(
        "garp_master_delay 1", "garp_master_delay 2"
    )


async def _replaced(world: CloudWorld) -> None:
    """Each host's agents end and others begin, all of a host at once, as when its package is upgraded."""
    for host in world.lab.hosts:
        for kind in world.kinds(host):
            await world.drop(host, kind)
        for kind in world.kinds(host):
            await world.start(host, kind)
        for kind in world.kinds(host):
            agent = world.agents[host, kind]
            await until(lambda agent=agent: agent.metrics.full_passes > 0)
            assert kind == "metadata" or agent.metrics.changes > 3, f"{host}'s {kind} is no other version"


@pytest.mark.parametrize("name", WAYS)
def test_an_upgrade_and_the_way_back_lose_no_packet(
    name: str, cloud: SharedCloud[Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(world: CloudWorld, site: Site) -> None:
        async def there_and_back() -> None:
            with monkeypatch.context() as other:
                for number, table in enumerate(MOVED, 100):
                    other.setattr(tables, table, number)
                other.setattr(pileus.host.l3.apply, "render", other_table)
                other.setattr(pileus.drivers.keepalived.driver, "render", other_file)
                await _replaced(world)
                await asyncio.sleep(0.5)
            await _replaced(world)

        way = site[name]
        sent, came = await world.stream(way.sender, way.receiver, way.address, there_and_back, rate=RATE)
        print(f"{name}: {sent - came} of {sent} lost")
        assert sent > RATE
        assert sent - came <= LOST_BY_CHANCE

    cloud.tell(story)
