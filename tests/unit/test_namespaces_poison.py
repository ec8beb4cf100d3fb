"""Any single network, port or router that can't be made leaves all others served, and is told with why."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.unit.dhcp.scene import host, net_id, network, subnet
from tests.unit.dhcp.test_dhcp_agent import agent as dhcp_agent
from tests.unit.l3.scene import floating, inner, outer, router, router_id
from tests.unit.l3.test_l3_agent import agent as l3_agent
from tests.unit.namespace_bench import Bench, running, until
from tests.unit.namespace_server import NamespaceServer
from tests.unit.poison import PHASES, poisoned
from tests.waiting import PATIENCE_S

from pileus.drivers.netlink.links import Address, LinkError
from pileus.drivers.nft.driver import FilterFailed
from pileus.drivers.nft.router import FLOATING_TO_FIXED, TABLE
from pileus.drivers.ovsdb.client import TransactionFailed
from pileus.drivers.ovsdb.edit import Edit
from pileus.wire.dhcp import DhcpOption, HostRoute
from pileus.wire.l3 import RouterSubnet

GOOD = (1, 2, 3)
V6 = RouterSubnet("six", "fd00:9::/64", "fd00:9::1", "slaac", ("fd00::53",))
ROUTER = router(
    9,
    gateway=outer(9),
    interfaces=(replace(inner(9), subnets=(*inner(9).subnets, V6)),),
    floating_ips=(floating(209, 10, 9),),
    routes=(HostRoute("192.168.0.0/16", "10.9.0.9"),),
)
HOST = host(99, 9, options=(DhcpOption("ntp-server", "10.0.0.1"),))
NETWORK = replace(network(9), hosts=(HOST,))
SIX = subnet(9, subnet_id="six", cidr="fd00:9::/64", ip_version=6, gateway_ip="fd00:9::1", host_routes=())

EXAMPLES = settings(max_examples=20, phases=PHASES, deadline=None, suppress_health_check=list(HealthCheck))


async def dhcp_is_good(bench: Bench) -> bool:
    if not await bench.dhcp.running() >= {net_id(n) for n in GOOD}:
        return False
    offers = [bench.dhcp.ask(net_id(n), host(10, n).mac_address) for n in GOOD]
    if [offer.address if offer else "" for offer in offers] != [f"10.{n}.0.10" for n in GOOD]:
        return False
    ports = {ids["iface-id"] for ids in bench.ports().values()}
    return ports >= {network(n).port.port_id for n in GOOD}


async def l3_is_good(bench: Bench) -> bool:
    for number in GOOD:
        name = f"qrouter-{router_id(number)}"
        tables = (await bench.filter.read([name]))[name]
        if ("ip", TABLE) not in tables:
            return False
        found = tables["ip", TABLE].sets[FLOATING_TO_FIXED].elements
        if {element.value for element in found.values()} != {f"10.{number}.0.10"}:
            return False
        inside = (await bench.links.read([name]))[name]
        if f"172.24.4.{200 + number}/32" not in {a for link in inside.links.values() for a in link.addresses}:
            return False
        if not any(route.destination == "0.0.0.0/0" for route in inside.routes):
            return False
    ports = {ids["iface-id"] for ids in bench.ports().values()}
    return ports >= {port(n).port.port_id for n in GOOD for port in (inner, outer)}


async def becomes(bench: Bench, is_good: Any, within_s: float = PATIENCE_S) -> None:
    async with asyncio.timeout(within_s):
        while not await is_good(bench):
            await asyncio.sleep(0.002)


def good_router(number: int) -> Any:
    return router(number, floating_ips=(floating(200 + number, 10, number),))


@EXAMPLES
@given(bad=st.one_of(poisoned(NETWORK), poisoned(replace(NETWORK, subnets=(SIX,)))))
def test_one_bad_network_leaves_all_others_served(bad: Any) -> None:
    assume(bad.network_id not in {net_id(n) for n in GOOD})

    async def story() -> None:
        server = NamespaceServer()
        server.put_network(network(1), network(2))
        async with running(server, dhcp_agent) as bench:
            await until(lambda: bool(server.statuses))
            server.put_network(bad, network(3))
            await _lives_with_it(bench, dhcp_is_good)
            if bad.network_id != NETWORK.network_id:
                server.remove_network(bad.network_id)
            server.put_network(NETWORK)
            await until(lambda: NETWORK.network_id in server.statuses[-1].serving)
            assert await dhcp_is_good(bench)

    asyncio.run(story())


@EXAMPLES
@given(bad=poisoned(replace(HOST, port_id=host(99, 1).port_id)))
def test_one_bad_port_leaves_all_others_of_its_network_served(bad: Any) -> None:
    assume(bad.port_id > host(11, 1).port_id)

    async def story() -> None:
        server = NamespaceServer()
        server.put_network(*(network(n) for n in GOOD))
        async with running(server, dhcp_agent) as bench:
            await until(lambda: bool(server.statuses))
            server.put_network(replace(network(1), hosts=(bad, *network(1).hosts)))
            await _lives_with_it(bench, dhcp_is_good)
            assert set(server.statuses[-1].serving) == {net_id(n) for n in GOOD}

    asyncio.run(story())


@EXAMPLES
@given(bad=poisoned(ROUTER))
def test_one_bad_router_leaves_all_others_served(bad: Any) -> None:
    assume(bad.router_id not in {router_id(n) for n in GOOD})

    async def story() -> None:
        server = NamespaceServer()
        server.put_router(good_router(1), good_router(2))
        async with running(server, l3_agent) as bench:
            await until(lambda: bool(server.statuses))
            server.put_router(bad, good_router(3))
            await _lives_with_it(bench, l3_is_good)
            if bad.router_id != ROUTER.router_id:
                server.remove_router(bad.router_id)
            server.put_router(router(9))
            await until(lambda: router_id(9) in server.statuses[-1].routers)
            assert await l3_is_good(bench)

    asyncio.run(story())


async def _lives_with_it(bench: Bench, is_good: Any) -> None:
    """Now, after a pass that takes nothing for granted, and after a restart."""
    await becomes(bench, is_good)
    await bench.agent.reconciler.settled()
    await bench.full_pass()
    assert await is_good(bench)
    await bench.kill()
    await bench.start()
    await until(lambda: bench.agent.metrics.full_passes > 0)
    await bench.agent.reconciler.settled()
    assert await is_good(bench)
    status = bench.agent.reconciler.status
    assert (status.failures, status.last_error) == (0, None)


@pytest.mark.parametrize("where", ["address", "namespace", "transaction", "rules", "look"])
def test_whatever_a_part_refuses_is_found_by_halves(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults that no record shows, of kinds that nobody expects: a real kernel's OSError among them."""
    tried: list[str] = []
    victim = f"qrouter-{router_id(9)}"

    async def story() -> None:
        server = NamespaceServer()
        server.put_router(good_router(1), good_router(2), good_router(3), router(9))
        bench = Bench(server, l3_agent)
        await bench.make_bridge()
        real: dict[str, Any] = {
            "address": bench.links.ensure_addresses,
            "namespace": bench.links.ensure_namespaces,
            "look": bench.links.read,
            "rules": bench.filter._load,
            "transaction": Edit.commit,
        }

        async def addresses(some: Any) -> None:
            some = list(some)
            if any(isinstance(one, Address) and one.namespace == victim for one in some):
                tried.append("address")
                raise OSError("illegal IP address string passed to inet_pton")
            await real["address"](some)

        async def namespaces(names: Any, label: str = "") -> None:
            if victim in (names := list(names)):
                tried.append("namespace")
                raise LinkError(f"{victim}: no space left on device")
            await real["namespace"](names, label)

        async def read(names: Any, sysctls: Any = ()) -> Any:
            if victim in (names := list(names)):
                tried.append("look")
                raise LinkError(f"{victim}: Invalid argument")
            return await real["look"](names, sysctls)

        def load(commands: Any) -> None:
            if commands.get(victim):
                tried.append("rules")
                real["rules"]({name: some for name, some in commands.items() if name != victim})
                raise FilterFailed({victim: "nobody thought of this"})
            real["rules"](commands)

        async def commit(self: Edit, **values: Any) -> bool:
            if outer(9).port.port_id in str(self.operations()):
                tried.append("transaction")
                raise TransactionFailed(-1, None, "constraint violation", "nobody thought of that")
            return bool(await real["transaction"](self, **values))

        with monkeypatch.context() as patched:
            if where == "transaction":
                patched.setattr(Edit, "commit", commit)
            elif where == "rules":
                patched.setattr(bench.filter, "_load", load)
            else:
                name = {"address": "ensure_addresses", "namespace": "ensure_namespaces", "look": "read"}[
                    where
                ]
                patched.setattr(
                    bench.links, name, {"address": addresses, "namespace": namespaces, "look": read}[where]
                )
            await bench.start()
            bench.agent._patience._first_s = 2.0
            await becomes(bench, l3_is_good)
            await until(lambda: bool(server.statuses))
            assert set(server.statuses[-1].routers) == {router_id(n) for n in GOOD}
            assert router_id(9) in server.statuses[-1].failed
            assert bench.agent.configurations()["failed"] == 1
            await bench.agent.reconciler.settled()
            # Passes go on without it: it waits for its next try.
            count = len(tried)
            for number in range(1, 4):
                fips = (floating(200 + number, 10, number), floating(100 + number, 11, number))
                server.put_router(router(number, floating_ips=fips))
                await until(lambda number=number: f"fip-{100 + number}" in server.statuses[-1].floating_ips)
            assert len(tried) == count
            assert bench.agent.reconciler.status.failures == 0
        await until(lambda: router_id(9) in server.statuses[-1].routers)
        await bench.kill()

    asyncio.run(story())


def test_of_two_that_need_one_name_the_one_that_has_it_keeps_it() -> None:
    async def story() -> None:
        server = NamespaceServer()
        server.put_router(good_router(1))
        async with running(server, l3_agent) as bench:
            await until(lambda: bool(server.statuses))
            twin = replace(inner(1), port=replace(inner(1).port, port_id=inner(1).port.port_id[:-1] + "9"))
            server.put_router(router(0, gateway=None, interfaces=(twin,)))
            await until(lambda: router_id(0) in server.statuses[-1].failed)
            assert server.statuses[-1].routers == (router_id(1),)
            port = bench.ports()["qr-00000001-qr"]
            assert port["iface-id"] == inner(1).port.port_id

    asyncio.run(story())
