"""The agent that answers DHCP: whom, how often, and what it tells of leases, also after it was killed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from tests.unit.l2.scene import mac
from tests.unit.l2.switch_bench import bench_matches, cloud, running, scenario
from tests.unit.l2.switch_server import SwitchServer
from tests.unit.l2.test_l2_dhcp import NETWORK, asked, guest, ip, wired
from tests.waiting import until

from pileus.core.clock import ManualClock
from pileus.drivers.openflow.simulated import SimulatedFlows
from pileus.drivers.openflow.table import PacketIn
from pileus.drivers.ovsdb.simulated import SimulatedSwitch
from pileus.host.l2.dhcp import options as o
from pileus.host.l2.dhcp import v4
from pileus.host.l2.dhcp.guests import ASKED_V4, RATE, Guest, guest_of, meter_of
from pileus.host.l2.dhcp.journal import Journal
from pileus.host.l2.dhcp.responder import Responder
from pileus.wire.dhcp import DeviceDhcp, DhcpOption, LeaseChange
from pileus.wire.switch import FixedIP, Segment

NET = "6f3d0f6c-0000-4000-8000-00000000000a"


def holder(*options: DhcpOption, **changes: Any) -> Guest:
    """The guest, on a network whose id is one."""
    return guest(*options, network_id=NET, **changes)


class Heard:
    """A responder over the twin of a switch, which its server hears."""

    def __init__(self, journal: Path | None = None) -> None:
        switch = SimulatedSwitch(devices=set())
        switch.flows["br-int"] = {}
        self.flows = SimulatedFlows(switch)
        self.clock = ManualClock()
        self.leases: list[tuple[str, str]] = []
        self.deaf = False
        self.responder = Responder("br-int", self.flows, self.clock, self._tell, Journal(journal))

    async def _tell(self, changes: Sequence[LeaseChange]) -> None:
        if self.deaf:
            raise ConnectionError("no server")
        self.leases += [(one.kind, one.ip_address) for one in changes]

    async def hear(self, frame: bytes, ofport: int = 15, vlan: int = 3) -> int:
        """Bring a question to the agent; how many answers there have been."""
        self.responder.hear(PacketIn(frame, userdata=ASKED_V4, match=f"reg6=0x{vlan:x},in_port={ofport}"))
        answering = asyncio.create_task(self.responder.answer())
        for _ in range(5):
            await asyncio.sleep(0)
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)
        return len(self.flows.sent.get("br-int", ()))


def test_only_the_port_itself_is_answered_and_none_starves_another() -> None:
    async def story() -> None:
        heard = Heard()
        other = wired(port_id="port-6", mac_address=mac(6), fixed_ips=(FixedIP("10.0.0.6", "sub4"),))
        guests = [guest(), guest_of(replace(other, ofport=16, number=6), NETWORK)]
        heard.responder.follow([one for one in guests if one is not None])
        frame = asked(v4.DISCOVER)
        assert await heard.hear(frame, ofport=16) == await heard.hear(frame, vlan=4) == 0
        assert await heard.hear(frame) == 1
        sent = heard.flows.sent["br-int"][0]
        assert sent.actions == "set_field:0x3->reg6,set_field:0x5->reg5,resubmit(,61)"
        for _ in range(100):
            answers = await heard.hear(frame)
        assert answers == RATE.burst
        another = asked(v4.DISCOVER, sender=bytes.fromhex("fa163e000006"))
        assert await heard.hear(another, ofport=16) == answers + 1
        heard.clock.advance(0.5)
        assert await heard.hear(frame) == answers + 2

    asyncio.run(story())


def test_leases_are_told_also_after_the_server_was_away() -> None:
    async def story() -> None:
        heard = Heard()
        heard.deaf = True
        heard.responder.follow([holder()])
        reporting = asyncio.create_task(heard.responder.leases.report())
        chosen = (o.REQUESTED, ip("10.0.0.5")), (o.SERVER, ip("10.0.0.2"))
        await heard.hear(asked(v4.REQUEST, *chosen))
        await heard.hear(asked(v4.REQUEST, ciaddr="10.0.0.5"))
        await heard.hear(asked(v4.RELEASE, ciaddr="10.0.0.5"))
        await heard.hear(asked(v4.RELEASE, ciaddr="10.0.0.5"))
        await heard.hear(asked(v4.REQUEST, ciaddr="10.0.0.5"))
        heard.clock.advance(3601)
        await asyncio.sleep(1.1)
        heard.deaf = False
        kinds = ["started", "renewed", "ended", "renewed", "ended"]
        await until(lambda: heard.leases == [(kind, "10.0.0.5") for kind in kinds])
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)

    asyncio.run(story())


REQUESTED = asked(v4.REQUEST, (o.REQUESTED, ip("10.0.0.5")), (o.SERVER, ip("10.0.0.2")))


def test_leases_that_ran_out_while_nobody_was_there_are_told_by_the_next(tmp_path: Path) -> None:
    file = tmp_path / "leases.jsonl"

    async def story() -> None:
        first = Heard(file)
        first.responder.follow([holder()])
        await first.hear(REQUESTED)  # and it dies before it has told
        file.write_bytes(file.read_bytes() + b'\n{"network_id": "n')  # in the middle of a line
        second = Heard(file)
        reporting = asyncio.create_task(second.responder.leases.report())
        await until(lambda: second.leases == [("started", "10.0.0.5")])
        second.clock.advance(3601)
        second.leases.clear()
        await asyncio.sleep(1.1)
        assert second.leases == [], "whose port it is now is not known yet"
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)
        third = Heard(file)
        third.clock.advance(3601)
        third.responder.follow([holder()])
        reporting = asyncio.create_task(third.responder.leases.report())
        await until(lambda: third.leases == [("ended", "10.0.0.5")])
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)
        # Told, and told once. A lease of a port that is elsewhere by now is not.
        fourth = Heard(file)
        await fourth.hear(REQUESTED)
        fourth.responder.follow([holder()])
        await fourth.hear(REQUESTED)
        fifth = Heard(file)
        fifth.clock.advance(3601)
        fifth.responder.follow([holder(fixed_ips=(FixedIP("10.0.0.6", "sub4"),))])
        reporting = asyncio.create_task(fifth.responder.leases.report())
        await until(lambda: fifth.leases == [("started", "10.0.0.5")])
        await asyncio.sleep(1.1)
        assert fifth.leases == [("started", "10.0.0.5")]
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)

    asyncio.run(story())


def test_a_lease_without_an_end_does_not_end(tmp_path: Path) -> None:
    async def story() -> None:
        for lease_s, expires in (("4294967295", 0), ("4294967294", 1 << 32)):
            heard = Heard(tmp_path / lease_s)
            heard.responder.follow([holder(DhcpOption("lease-time", lease_s))])
            await heard.hear(REQUESTED)
            held, (told,) = Journal(tmp_path / lease_s).read()
            assert held and (told.expires_s == 0 if expires == 0 else told.expires_s > expires)
            heard.clock.advance(100_000)
            reporting = asyncio.create_task(heard.responder.leases.report())
            await until(lambda heard=heard: heard.leases == [("started", "10.0.0.5")])
            await asyncio.sleep(1.1)
            assert heard.leases == [("started", "10.0.0.5")]
            reporting.cancel()
            await asyncio.gather(reporting, return_exceptions=True)

    asyncio.run(story())


def test_a_journal_stays_short_and_whole_and_does_without_its_file(tmp_path: Path) -> None:
    file = tmp_path / "leases.jsonl"

    async def story() -> None:
        heard = Heard(file)
        heard.responder.follow([holder()])
        for _ in range(1500):
            await heard.hear(REQUESTED)
            heard.clock.advance(1)
        reporting = asyncio.create_task(heard.responder.leases.report())
        await until(lambda: len(heard.leases) == 1500)
        await until(lambda: len(file.read_bytes().split(b"\n")) < 10)
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)
        assert file.stat().st_mode & 0o777 == 0o600
        held, news = Journal(file).read()
        assert list(held) == [(NET, "10.0.0.5")] and news == []
        heard.responder.leases.forget()
        assert not file.exists()
        lost = Heard(tmp_path / "no" / "such" / "folder")
        lost.responder.follow([holder()])
        assert await lost.hear(REQUESTED) == 1

    asyncio.run(story())


def told_of_dhcp(server: SwitchServer) -> list[str]:
    return [why for status in server.statuses for why in status.dhcp.values()]


def test_the_agent_answers_what_its_switch_brings_and_stops_when_it_is_told() -> None:
    async def story() -> None:
        server = cloud()
        server.networks["net"] = replace(NETWORK, segment=Segment("vxlan", None, 100))
        server.put_device(replace(wired().details, security_group_ids=("default",)), "n1")
        async with running(server) as bench:
            await bench.plug(5)
            await until(lambda: server.devices["port-5"].status == "ACTIVE")
            asking = [f for f in bench_matches(bench, f"dl_src={mac(5)}") if "controller" in f.actions]
            assert {flow.table for flow in asking} == {60} and len(asking) == 3
            number = next(iter(bench.agent.in_force().values())).number
            meters = await bench.flows.meters("br-int")
            assert meters[meter_of(number)].band.rate == RATE.rate
            one = next(iter(bench.agent.in_force().values()))
            await until(lambda: bool(bench.flows._listeners.get("br-int")))
            place = f"reg6=0x{one.vlan:x},in_port={one.ofport}"
            for queue in bench.flows._listeners["br-int"]:
                queue.put_nowait(PacketIn(asked(v4.DISCOVER), userdata=ASKED_V4, match=place))
            await until(lambda: bool(bench.flows.sent.get("br-int")))
            assert await bench.full_pass() == 0
            # What it can't be told is said once, and again when it is something else.
            details = server.devices["port-5"]
            for name in ("bogus", "bogus", "other"):
                dhcp = DeviceDhcp("web", (DhcpOption(name, "x"),))
                server.put_device(replace(details, dhcp=dhcp), "n1")
                await until(lambda name=name: f"the option {name!r} is not known" in told_of_dhcp(server))
                assert await bench.full_pass() == 0
            assert told_of_dhcp(server) == [
                f"the option {name!r} is not known" for name in ("bogus", "other")
            ]
            server.put_network(replace(server.networks["net"], dhcp=None))
            await until(lambda: not [f for f in bench_matches(bench, "udp") if "controller" in f.actions])

    scenario(story)
