"""Routers that another agent serves still, and those that leave this one, on a simulated node."""

from __future__ import annotations

import asyncio

from tests.unit.l3.test_l3_agent import ON_LINK, QG, QR, agent, contents
from tests.unit.namespace_bench import Bench, running, scenario, until
from tests.unit.namespace_server import NamespaceServer

from pileus.drivers.ovsdb.edit import Edit
from pileus.host.l2.settings import LAST_NUMBER_KEY, NUMBER_KEY

from .scene import floating, router, router_id

BEFORE_THE_NEXT_HEARTBEAT_S = 15


async def number(bench: Bench, *names: str) -> None:
    """As a switch agent does that wires these ports."""
    edit = Edit(bench.client)
    edit.ensure_bridge("br-int", external_ids={LAST_NUMBER_KEY: "1"})
    for count, name in enumerate(names, 1):
        edit.ensure_port("br-int", name, external_ids={NUMBER_KEY: str(count)})
    await edit.commit()


def test_a_router_is_made_ready_and_begins_with_addresses_and_routes() -> None:
    async def story() -> None:
        server = NamespaceServer()
        async with running(server, agent) as bench:
            await bench.settled()
            await number(bench)
            server.put_router(router(standby=True, floating_ips=(floating(200),)))
            await until(lambda: bench.ports().keys() == {QR, QG})
            await bench.settled()
            assert bench.ports().keys() == {QR, QG}
            place = await contents(bench)
            assert place.links[QR].addresses == place.links[QG].addresses == () and place.routes == ()
            # Nothing is said of it before all its ports carry packets.
            last = server.statuses[-1]
            assert (last.routers, last.ready, last.floating_ips) == ((), (), ())
            await number(bench, QR)
            await bench.settled()
            assert server.statuses[-1].ready == ()
            await number(bench, QR, QG)
            await until(lambda: server.statuses[-1].ready == (router_id(1),))
            assert server.statuses[-1].routers == () and bench.links.announced == []
            loads, transactions = bench.filter.loads, bench.transactions()
            await bench.after(lambda: server.put_router(router(floating_ips=(floating(200),))))
            last = server.statuses[-1]
            assert (last.routers, last.ready, last.floating_ips) == ((router_id(1),), (), ("fip-200",))
            place = await contents(bench)
            assert place.links[QG].addresses == ("172.24.4.101/24", "172.24.4.200/32", ON_LINK[QG])
            assert ON_LINK[QR] in place.links[QR].addresses and len(place.routes) == 1
            assert (bench.filter.loads, bench.transactions()) == (loads, transactions)
            await until(lambda: any(one.address == "172.24.4.200/32" for one in bench.links.announced))
            assert await bench.full_pass() == 0

    scenario(story)


def test_a_router_that_leaves_is_reported_once_when_its_time_is_over() -> None:
    async def story() -> None:
        server = NamespaceServer()
        server.put_router(router())
        async with running(server, agent) as bench:
            await until(lambda: bool(server.statuses))
            await bench.settled()
            reports, changes = len(server.agent_reports), bench.agent.metrics.changes
            await bench.after(lambda: server.put_router(router(leaves_in_s=0.2)))
            assert bench.agent.metrics.changes == changes
            async with asyncio.timeout(BEFORE_THE_NEXT_HEARTBEAT_S):
                await until(lambda: len(server.agent_reports) > reports)

    scenario(story)


def test_a_nearer_end_is_reported_though_a_later_one_was_told_before() -> None:
    async def story() -> None:
        server = NamespaceServer()
        server.put_router(router(leaves_in_s=3600.0))
        async with running(server, agent) as bench:
            await until(lambda: bool(server.statuses))
            await bench.settled()
            reports = len(server.agent_reports)
            await bench.after(lambda: server.put_router(router(leaves_in_s=0.2)))
            async with asyncio.timeout(BEFORE_THE_NEXT_HEARTBEAT_S):
                await until(lambda: len(server.agent_reports) > reports)

    scenario(story)


def test_a_router_that_leaves_is_announced_no_more() -> None:
    async def story() -> None:
        server = NamespaceServer()
        server.put_router(router())
        async with running(server, agent) as bench:
            await until(lambda: any(one.device == QG for one in bench.links.announced))
            server.put_router(router(leaves_in_s=3600.0))
            await until(lambda: not bench.agent.may_announce(router_id(1)))
            bench.links.announced.clear()
            server.put_router(router(2))
            # Both began together; by now the first was announced again, had it not been taken over.
            await until(lambda: sum("000002" in one.device for one in bench.links.announced) > 6)
            assert not [one for one in bench.links.announced if one.device in (QG, QR)]

    scenario(story)
