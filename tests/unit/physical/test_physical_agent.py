"""The agent of physical switches against twins and a server in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
from tests.fake_server import FakeServer
from tests.waiting import until

from pileus.core.clock import SystemClock
from pileus.drivers.physical.simulated import SimulatedPhysicalSwitch
from pileus.drivers.physical.switch import Attachment, CarriedNetwork
from pileus.host.agent import AgentSettings
from pileus.host.physical.agent import PhysicalSwitchAgent
from pileus.host.physical.plan import NOWHERE, plan
from pileus.wire import scopes
from pileus.wire.physical import (
    LearnedAddress,
    PhysicalAttachment,
    PhysicalNetwork,
    PhysicalState,
    PhysicalStateRequest,
    PhysicalStatus,
)
from pileus.wire.switch import Acknowledged, ForwardingEntry, Segment

replace = msgspec.structs.replace

ENTRIES = (
    ForwardingEntry("FA:16:3e:00:00:01", ("10.0.0.1",), "n1", "192.0.2.1"),
    ForwardingEntry(NOWHERE, (), "tor", "192.0.2.9"),
    ForwardingEntry(NOWHERE, (), "tor2", "192.0.2.10"),
)
STATE = PhysicalState(
    position=1,
    attachments=(PhysicalAttachment("tor", "p1", 0, "net"), PhysicalAttachment("cli", "e1", 7, "vlan")),
    networks=(
        PhysicalNetwork("net", Segment("vxlan", None, 100), ENTRIES),
        PhysicalNetwork("vlan", Segment("vlan", "physnet1", 7)),
    ),
)


class Server(FakeServer):
    def __init__(self) -> None:
        super().__init__()
        self.state = STATE
        self.requests: list[PhysicalStateRequest] = []
        self.statuses: list[PhysicalStatus] = []

    def _physical_state(self, request: PhysicalStateRequest) -> PhysicalState:
        self.requests.append(request)
        return replace(self.state, position=self.position)

    def _physical_status(self, status: PhysicalStatus) -> Acknowledged:
        self.statuses.append(status)
        return Acknowledged(self.position)


def scenario(
    story: Callable[[Server, SimulatedPhysicalSwitch, SimulatedPhysicalSwitch], Awaitable[None]],
) -> None:
    async def main() -> None:
        server = Server()
        tor = SimulatedPhysicalSwitch("tor", ("p1", "p2"), "192.0.2.9")
        cli = SimulatedPhysicalSwitch("cli", ("e1",))
        agent = PhysicalSwitchAgent(AgentSettings(host="n1"), server, SystemClock(), (tor, cli))
        task = asyncio.create_task(agent.run())
        try:
            await until(lambda: agent.metrics.full_passes > 0)
            await story(server, tor, cli)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


def test_a_switch_is_planned_with_the_ways_to_everybody_else() -> None:
    wanted, unable = plan(STATE, "tor", "vtep")
    ways = {"fa:16:3e:00:00:01": "192.0.2.1"}
    assert wanted.networks == (CarriedNetwork("net", 100, ways, ("192.0.2.1", "192.0.2.10")),)
    assert wanted.attachments == (Attachment("p1", 0, "net"),)
    assert unable == []
    wrong = replace(STATE, attachments=(PhysicalAttachment("cli", "e1", 7, "net"),))
    assert plan(wrong, "cli", "ssh")[1] == ["net"]


def test_switches_are_brought_to_what_the_server_says_and_machines_are_told() -> None:
    async def story(server: Server, tor: SimulatedPhysicalSwitch, cli: SimulatedPhysicalSwitch) -> None:
        assert [(one.name, one.kind, one.tunnel_ip) for one in server.requests[-1].switches] == [
            ("cli", "ssh", None),
            ("tor", "vtep", "192.0.2.9"),
        ]
        assert tor.wanted.attachments == (Attachment("p1", 0, "net"),)
        assert cli.wanted.attachments == (Attachment("e1", 7, "vlan"),)
        tor.seen = {"net": frozenset(("52:54:00:00:00:01",)), "others": frozenset(("52:54:00:00:00:02",))}
        tor.changed.set()
        seen = (LearnedAddress("net", "52:54:00:00:00:01"),)
        await until(lambda: server.statuses[-1].learned.get("tor") == seen)
        told = len(server.statuses)
        server.state = replace(STATE, attachments=STATE.attachments[1:])
        await until(lambda: server.is_heard(frozenset({scopes.physical("n1"), scopes.network("net")})))
        server.changed(scopes.physical("n1"))
        await until(lambda: tor.wanted.attachments == ())
        await until(lambda: len(server.statuses) > told and server.statuses[-1].learned["tor"] == ())

    scenario(story)


def test_one_switch_that_fails_keeps_the_other_from_nothing() -> None:
    async def story(server: Server, tor: SimulatedPhysicalSwitch, cli: SimulatedPhysicalSwitch) -> None:
        tor.fault = "no connection"
        server.state = replace(STATE, attachments=(PhysicalAttachment("cli", "e1", 0, "vlan"),))
        server.changed(scopes.physical("n1"))
        await until(lambda: cli.wanted.attachments == (Attachment("e1", 0, "vlan"),))
        await until(lambda: server.statuses[-1].failed == {"tor": "no connection"})
        tor.fault = None
        server.changed(scopes.physical("n1"))
        await until(lambda: server.statuses[-1].failed == {})
        assert tor.wanted.attachments == ()

    scenario(story)
