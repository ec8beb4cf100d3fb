"""Whatever happens, in whatever order: in the end a node has what the server wants, and no more.

The DHCP and the L3 agent share a node. Wake-ups are lost, doubled and reordered, agents are dropped in
the middle of passes, dnsmasq dies, namespaces and ports are taken away, connections end. Then everybody
is left in peace, and checked.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from msgspec.structs import replace
from tests.unit.dhcp.scene import host, net_id, network, subnet
from tests.unit.l3.scene import floating, inner, outer, router, router_id
from tests.unit.namespace_bench import Bench, full_pass, until
from tests.unit.namespace_server import NamespaceServer

from pileus.core.clock import SystemClock
from pileus.drivers.nft.router import FLOATING_TO_FIXED, TABLE
from pileus.drivers.ovsdb.edit import Edit
from pileus.host.agent import AgentSettings
from pileus.host.dhcp.agent import DhcpAgent
from pileus.host.l3.agent import L3Agent
from pileus.host.l3.plan import quieted
from pileus.host.namespaces.agent import NamespaceSettings
from pileus.wire.dhcp import HostRoute

NUMBERS = st.integers(1, 3)
KINDS = st.sampled_from(["dhcp", "l3"])


class NamespaceMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()

    @initialize(seed=st.integers(0, 1 << 16))
    def begin(self, seed: int) -> None:
        self.server = NamespaceServer(random.Random(seed))
        self.server.heartbeat_interval_s = 0.03
        self.bench = Bench(self.server, self._unused)
        self.bench.links.on_gone = self.bench.filter.forget_namespace
        self.agents: dict[str, Any] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

        async def start() -> None:
            await self.bench.make_bridge()
            self.bench.client = self.bench.switch.client(retry_s=0.01)
            for kind in ("dhcp", "l3"):
                self._start(kind)

        self.run(start())

    @staticmethod
    def _unused(bench: Bench) -> Any:
        raise AssertionError("agents are made here")

    def _start(self, kind: str) -> None:
        bench = self.bench
        node = AgentSettings(host="n1")
        namespaces = NamespaceSettings(
            namespace_prefix="qdhcp-" if kind == "dhcp" else "qrouter-", watch_interval_s=0.02
        )
        clock = SystemClock()
        agent: Any
        if kind == "dhcp":
            agent = DhcpAgent(
                node, self.server, clock, bench.client, bench.links, bench.dhcp, namespaces=namespaces
            )
        else:
            parts = (bench.client, bench.links, bench.filter, bench.advertisers)
            agent = L3Agent(node, self.server, clock, *parts, namespaces=namespaces)
        agent.reconciler._retry_limit_s = 0.05
        self.agents[kind] = agent
        self.tasks[kind] = asyncio.create_task(agent.run())

    def run(self, coroutine: object = None) -> None:
        """Do something, and let the agents run on for a moment that differs."""

        async def both() -> None:
            if coroutine is not None:
                await coroutine  # type: ignore[misc]
            for _ in range(random.randrange(60)):
                await asyncio.sleep(0)

        self.runner.run(both())

    @rule(
        number=NUMBERS,
        hosts=st.integers(0, 4),
        up=st.booleans(),
        dhcp=st.booleans(),
        behind=st.booleans(),
        bad=st.sampled_from([False, False, False, True]),
    )
    def put_network(self, number: int, hosts: int, up: bool, dhcp: bool, behind: bool, bad: bool) -> None:
        wanted = network(
            number,
            hosts=hosts,
            admin_state_up=up,
            subnets=(subnet(number, enable_dhcp=dhcp, gateway_is_router=behind),),
        )
        if bad:
            wanted = replace(wanted, hosts=(*wanted.hosts, host(99, number, mac_address="nonsense")))
        self.server.put_network(wanted)
        self.run()

    @rule(number=NUMBERS)
    def remove_network(self, number: int) -> None:
        if net_id(number) in self.server.networks:
            self.server.remove_network(net_id(number))
            self.run()

    @rule(
        number=NUMBERS,
        gateway=st.booleans(),
        up=st.sampled_from([True, True, False]),
        inside=st.sets(NUMBERS, max_size=2),
        floats=st.sets(st.integers(200, 205), max_size=3),
        extra=st.booleans(),
    )
    def put_router(
        self, number: int, gateway: bool, up: bool, inside: set[int], floats: set[int], extra: bool
    ) -> None:
        # Two routers on one network have a port of their own each.
        ports = [inner(number * 10 + n) for n in sorted(inside)]
        fips = (
            tuple(floating(number * 10 + f, n) for n, f in enumerate(sorted(floats), 10)) if gateway else ()
        )
        routes = (
            (HostRoute("192.168.0.0/16", f"10.{number * 10 + min(inside)}.0.9"),) if extra and inside else ()
        )
        self.server.put_router(
            router(
                number,
                admin_state_up=up,
                gateway=outer(number) if gateway else None,
                interfaces=tuple(ports),
                floating_ips=fips,
                routes=routes,
            )
        )
        self.run()

    @rule(number=NUMBERS)
    def remove_router(self, number: int) -> None:
        if router_id(number) in self.server.routers:
            self.server.remove_router(router_id(number))
            self.run()

    @rule(kind=KINDS)
    def kill_or_start(self, kind: str) -> None:
        async def kill() -> None:
            task = self.tasks.pop(kind)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        async def start() -> None:
            self._start(kind)

        self.run(kill() if kind in self.tasks else start())

    @rule(number=NUMBERS)
    def dnsmasq_dies(self, number: int) -> None:
        if net_id(number) in self.runner.run(self.bench.dhcp.running()):
            self.bench.dhcp.crash(net_id(number))
            self.run()

    @rule(index=st.integers(0, 10))
    def somebody_deletes_a_namespace(self, index: int) -> None:
        names = self.runner.run(self.bench.links.namespaces())
        if names:
            self.run(self.bench.links.delete_namespaces([names[index % len(names)]]))

    @rule(index=st.integers(0, 10))
    def somebody_deletes_a_port(self, index: int) -> None:
        async def delete() -> None:
            client = self.bench.switch.client()
            await client.connect(1)
            names = sorted(name for name in client.by_name("Port") if name != "br-int")
            if names:
                edit = Edit(client)
                edit.delete_port(names[index % len(names)])
                await edit.commit()
            await client.close()

        self.run(delete())

    @rule()
    def lose_the_database(self) -> None:
        self.bench.switch.disconnect()
        self.run()

    @rule(away=st.booleans())
    def server_comes_and_goes(self, away: bool) -> None:
        self.server.away = away
        self.run()

    def teardown(self) -> None:
        try:
            if hasattr(self, "tasks"):
                self.runner.run(self._peace())
        finally:
            self.runner.close()

    async def _peace(self) -> None:
        self.server.away = False
        for key, wanted in self.server.networks.items():
            good = tuple(one for one in wanted.hosts if one.mac_address != "nonsense")
            self.server.networks[key] = replace(wanted, hosts=good)
        for kind in ("dhcp", "l3"):
            if kind not in self.tasks:
                self._start(kind)
        await self._settle()
        await self._check()
        self.server.networks.clear()
        self.server.routers.clear()
        await self._settle()
        assert await self.bench.links.namespaces() == []
        assert (await self.bench.links.links()).keys() == {"lo"}
        assert self.bench.ports() == {}
        assert await self.bench.dhcp.known() == set()
        assert self.bench.advertisers.current == set()
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        await self.bench.client.close()

    async def _settle(self) -> None:
        """Two full passes: the first may repair what nobody said a word of, the second changes nothing."""
        for agent in self.agents.values():
            agent.reconciler.wake(reread=True, inspect=True)
            agent.reconciler.hurry()
            await until(lambda agent=agent: agent.metrics.full_passes > 0)
        for agent in self.agents.values():
            await full_pass(agent)
        for agent in self.agents.values():
            assert await full_pass(agent) == 0

    async def _check(self) -> None:
        bench = self.bench
        served = {
            key
            for key, one in self.server.networks.items()
            if one.admin_state_up and any(s.enable_dhcp for s in one.subnets)
        }
        routers = {key: quieted(one) for key, one in self.server.routers.items()}
        assert await bench.dhcp.running() == served
        wanted = {f"qdhcp-{key}" for key in served} | {f"qrouter-{key}" for key in routers}
        assert set(await bench.links.namespaces()) == wanted
        for key in served:
            for one in self.server.networks[key].hosts:
                offer = bench.dhcp.ask(key, one.mac_address)
                assert offer is not None
                assert offer.address == one.addresses[0].ip_address
        ports = {self.server.networks[key].port.port_id for key in served}
        for key, one in routers.items():
            mine = [*one.interfaces, *([one.gateway] if one.gateway else [])]
            ports |= {port.port.port_id for port in mine}
            name = f"qrouter-{key}"
            table = (await bench.filter.read([name]))[name]["ip", TABLE]
            assert {k: e.value for k, e in table.sets[FLOATING_TO_FIXED].elements.items()} == {
                item.floating_ip_address: item.fixed_ip_address for item in one.floating_ips
            }
            contents = (await bench.links.read([name]))[name]
            held = {address for link in contents.links.values() for address in link.addresses}
            assert {f"{item.floating_ip_address}/32" for item in one.floating_ips} == {
                address for address in held if address.endswith("/32")
            }
            assert {route.destination for route in contents.routes} == {
                *(["0.0.0.0/0"] if one.gateway and one.admin_state_up else []),
                *(route.destination for route in one.routes),
            }
        assert {ids["iface-id"] for ids in bench.ports().values()} == ports


NamespaceMachine.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestNamespaces = NamespaceMachine.TestCase
