"""The metering agent tells what the L3 agent's routers have counted."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.fake_server import FakeServer
from tests.unit.l3.scene import router, router_id
from tests.unit.l3.test_l3_agent import agent
from tests.unit.namespace_bench import running, scenario, until
from tests.unit.namespace_server import NamespaceServer

from pileus.core.clock import SystemClock
from pileus.drivers.nft.metering import TABLE, counter_name
from pileus.host.agent import AgentSettings
from pileus.host.metering.agent import MeteringAgent
from pileus.wire.l3 import MeteringLabel, MeteringRule
from pileus.wire.metering import MeteringCount
from pileus.wire.switch import Acknowledged

LABEL = "11111111-2222-3333-4444-555555555555"


class Heard(FakeServer):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.reports: list[Any] = []

    async def call(self, call: Any, request: Any) -> Any:
        if call.name == "metering_report":
            self.reports.append(request)
            return Acknowledged(position=1)
        return await super().call(call, request)


def test_counters_come_with_labels_and_go_with_them() -> None:
    async def story() -> None:
        server = NamespaceServer()
        excluded = MeteringRule("ingress", True, None, "10.1.0.9/32")
        rules = (MeteringRule("egress", False, "10.0.0.0/8"), excluded)
        server.put_router(router(1, metering_labels=(MeteringLabel(LABEL, rules),)), router(2))
        async with running(server, agent) as bench:
            await until(lambda: bool(server.statuses))
            assert await bench.agent.counted() == [MeteringCount(LABEL, router_id(1), 0, 0)]  # type: ignore[attr-defined]
            name = f"qrouter-{router_id(1)}"
            table = (await bench.filter.read([name]))[name]["inet", TABLE]
            assert table.objects == {("counter", counter_name(LABEL)): (0, 0)}
            assert await bench.full_pass() == 0
            server.put_router(router(1))
            async with asyncio.timeout(15):
                while await bench.agent.counted():  # type: ignore[attr-defined]
                    await asyncio.sleep(0.01)
            await until(lambda: bench.agent.metrics.passes > 1)
            assert ("inet", TABLE) not in (await bench.filter.read([name]))[name]

    scenario(story)


def test_what_was_counted_is_told_again_and_again() -> None:
    async def story() -> None:
        server = Heard()
        counts = [MeteringCount(LABEL, router_id(1), 3, 300)]

        async def counted() -> list[MeteringCount]:
            return list(counts)

        metering = MeteringAgent(AgentSettings(host="n1"), server, SystemClock(), counted, interval_s=0.01)
        running = asyncio.create_task(metering.run())
        await until(lambda: len(server.reports) > 2)
        assert server.reports[-1].counters == tuple(counts)
        assert metering.configurations()["labels"] == 1
        counts.clear()
        await until(lambda: metering.configurations()["labels"] == 0)
        told = len(server.reports)
        await until(lambda: metering.metrics.passes > told + 3)
        assert len(server.reports) <= told + 1, "nothing is told of nothing"
        metering.stop()
        await running

    scenario(story)
