"""Next hops that are watched by BFD: what is planned, what BIRD is told, what the agent does."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.unit.namespace_bench import Bench, Maker, running, scenario, until
from tests.unit.namespace_server import NamespaceServer

from pileus.core import log
from pileus.core.clock import SystemClock
from pileus.drivers.bfd import control
from pileus.drivers.bfd.render import render
from pileus.drivers.bfd.simulated import SimulatedBfd
from pileus.drivers.bfd.spec import WatchedHop, WatchedRouter
from pileus.drivers.netlink.links import FIRST_TABLE, PolicyRule
from pileus.host.agent import AgentSettings
from pileus.host.l3 import bfd, plan
from pileus.host.l3.agent import L3Agent
from pileus.host.namespaces.agent import NamespaceSettings
from pileus.wire.dhcp import PortAddress, ServicePort
from pileus.wire.l3 import RouterDetails, RouterPort, RouterSubnet

from .scene import outer, router, router_id


def second_gateway(neighbour: str = "172.24.6.1") -> RouterPort:
    """A gateway of both families, whose IPv4 neighbour is on no subnet of it."""
    port = ServicePort(
        "00000sgw-0000-4000-8000-000000000002",
        "fa:16:3e:02:bb:02",
        (PortAddress("172.24.5.101", "e5"), PortAddress("2001:db8::101", "e6")),
    )
    subnets = (
        RouterSubnet("e5", "172.24.5.0/24", neighbour),
        RouterSubnet("e6", "2001:db8::/64", "2001:db8::1"),
    )
    return RouterPort(port, "second", subnets)


def two_gateways(**changes: object) -> RouterDetails:
    changes = {"enable_default_route_bfd": True, "more_gateways": (second_gateway(),), **changes}
    return router(1, **changes)


def near_gateways(**changes: object) -> RouterDetails:
    return two_gateways(more_gateways=(second_gateway("172.24.5.1"),), **changes)


FIRST = WatchedHop("172.24.4.1", "qg-000001gw-00", "172.24.4.101")
FAR = WatchedHop("172.24.6.1", "qg-00000sgw-00", "172.24.5.101", far=True)
SIX = WatchedHop("2001:db8::1", "qg-00000sgw-00")


def test_the_plan() -> None:
    wanted = bfd.plan_bfd(two_gateways(enable_default_route_ecmp=True), "place")
    assert wanted == WatchedRouter(
        router_id=router_id(1), namespace="place", table=FIRST_TABLE, hops=(FIRST, FAR, SIX), balanced=True
    )
    rules = plan.plan_namespace(two_gateways(), "q").rules
    assert rules[0].default_is_none and rules[-1] == PolicyRule(102, FIRST_TABLE)
    alone = plan.plan_namespace(router(enable_default_route_bfd=True), "q").rules
    assert [rule.priority for rule in alone] == [100, 102]
    without_nat = bfd.plan_bfd(two_gateways(enable_snat=False), "place")
    assert without_nat is not None and {hop.source for hop in without_nat.hops} == {None}
    for silent in (
        router(),
        router(enable_default_route_bfd=True, gateway=None),
        plan.quieted(two_gateways(admin_state_up=False)),
        router(
            enable_default_route_bfd=True,
            gateway=outer(subnets=(RouterSubnet("ext", "172.24.4.0/24", None),)),
        ),
    ):
        assert bfd.plan_bfd(silent, "place") is None


def test_the_configuration() -> None:
    both = WatchedRouter(router_id="r", namespace="n", table=65536, hops=(FIRST, FAR, SIX), balanced=True)
    text = render(both)
    assert (
        "route 0.0.0.0/0 via 172.24.4.1%'qg-000001gw-00' bfd via 172.24.6.1%'qg-00000sgw-00' onlink bfd;"
        in text
    )
    assert "route ::/0 via 2001:db8::1%'qg-00000sgw-00' bfd;" in text
    assert text.count("kernel table 65536") == 2
    assert 'interface "qg-000001gw-00", "qg-00000sgw-00" {' in text
    by_turns = render(WatchedRouter(router_id="r", namespace="n", table=65536, hops=(FIRST, FAR)))
    assert "preference 200; }; route 0.0.0.0/0 via 172.24.4.1" in by_turns
    assert "preference 199; }; route 0.0.0.0/0 via 172.24.6.1" in by_turns
    assert "::/0" not in by_turns


def agent_with(driver: SimulatedBfd | None) -> Maker:
    def agent(bench: Bench) -> L3Agent:
        return L3Agent(
            AgentSettings(host="n1"),
            bench.server,
            SystemClock(),
            bench.client,
            bench.links,
            bench.filter,
            bench.advertisers,
            bfd_routers=driver,
            namespaces=NamespaceSettings(namespace_prefix="qrouter-", watch_interval_s=0.01),
        )

    return agent


def test_next_hops_are_watched_while_they_should_be() -> None:
    async def story() -> None:
        driver, server = SimulatedBfd(), NamespaceServer()
        driver.routers["old"] = WatchedRouter(router_id="old", namespace="q", table=65536, hops=(FIRST,))
        server.put_router(near_gateways())
        async with running(server, agent_with(driver)) as bench:
            await until(lambda: bool(server.statuses))
            assert driver.routers.keys() == {router_id(1)}, "what nobody wants is gone after the start"
            assert bench.agent.configurations()["bfd"] is True
            assert await bench.full_pass() == 0
            del driver.routers[router_id(1)]
            await until(lambda: router_id(1) in driver.routers)
            await bench.after(lambda: server.put_router(near_gateways(enable_default_route_bfd=False)))
            assert not driver.routers
            driver.faults[router_id(1)] = "bird: no such thing"
            server.put_router(near_gateways())
            await until(lambda: server.statuses[-1].failed == {router_id(1): "bird: no such thing"})
            driver.faults.clear()
            await until(lambda: router_id(1) in driver.routers and not server.statuses[-1].failed)
            server.remove_router(router_id(1))
            await until(lambda: not driver.routers)

    scenario(story)


def test_a_node_without_bird_routes_all_the_same() -> None:
    async def story() -> None:
        server = NamespaceServer()
        server.put_router(near_gateways())
        async with running(server, agent_with(None)) as bench:
            await until(lambda: bool(server.statuses))
            assert server.statuses[-1].routers == (router_id(1),) and not server.statuses[-1].failed
            assert bench.agent.configurations()["bfd"] is False

    scenario(story)


def test_connections_by_a_next_hop_that_fell_silent_end() -> None:
    async def story() -> None:
        driver = SimulatedBfd()
        book = bfd.BfdBook(log.get("test"), driver)
        wanted = WatchedRouter(router_id="r", namespace="n", table=65536, hops=(FIRST, FAR, SIX))
        assert await book.enforce({"r": wanted}) == (1, {})
        driver.silent = {FIRST.address}
        assert await book.fallen() == {}, "one that has never been seen up has no connections"
        driver.silent = set()
        assert await book.fallen() == {}
        driver.silent = {FIRST.address, SIX.address}
        assert await book.fallen() == {"n": {"172.24.4.101"}}
        assert await book.fallen() == {}, "once"
        driver.silent.add(FAR.address)
        assert await book.fallen() == {}, "there is no other way to go"

    asyncio.run(story())


def test_what_bird_says(tmp_path: Path) -> None:
    said = (
        "0001 BIRD 2.0.12 ready.\n",
        "1020-bfd1:\n IP address                Interface  State      Since         Interval  Timeout\n"
        " fd05::1                   qg-2       Down       10:23:19.111    1.000    0.000\n"
        " 172.24.5.1                qg-2       Up         10:23:19.111    0.250    0.750\n0000 \n",
        "8002-/x/conf:1:1 syntax error\n8002 /x/conf:1:1 syntax error\n",
    )

    async def story() -> None:
        asked: list[bytes] = []

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(said[0].encode())
            asked.append(await reader.readline())
            writer.write(said[1 if asked[-1].startswith(b"show") else 2].encode())
            await writer.drain()
            writer.close()

        path = tmp_path / "ctl"
        async with await asyncio.start_unix_server(answer, path):
            assert await control.sessions(path) == {"fd05::1": "Down", "172.24.5.1": "Up"}
            with pytest.raises(control.ControlFailed, match="syntax error"):
                await control.ask(path, "configure")
        assert asked == [b"show bfd sessions\n", b"configure\n"]

    asyncio.run(story())
