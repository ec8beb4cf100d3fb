"""Floating IPs translated by a switch: next hops, zones, neighbours that are asked for and forgotten."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec.structs import replace
from tests.unit.l2.scene import SETTINGS, device
from tests.waiting import until

from pileus.core.clock import ManualClock
from pileus.drivers.openflow.flow import Flow
from pileus.drivers.openflow.simulated import SimulatedFlows
from pileus.drivers.openflow.table import PacketIn
from pileus.drivers.ovsdb.simulated import SimulatedSwitch
from pileus.host.l2 import neighbours
from pileus.host.l2 import tables as t
from pileus.host.l2.devices import Wired
from pileus.host.l2.floating import (
    ANSWERED,
    FIRST_ZONE,
    MISSING,
    Outside,
    Translation,
    leading_out,
    outside_flows,
    translation_flows,
    zones,
)
from pileus.host.l2.neighbours import Neighbours
from pileus.host.l2.words import ERRORS_METER, EXPIRED, TOO_BIG, told
from pileus.wire.dhcp import HostRoute
from pileus.wire.distributed import DistributedFloatingIp, HostGateway, OuterSubnet

MAC, VLAN = "fa:16:3e:00:00:0f", 9
GATEWAY = HostGateway(
    "own-port",
    "outside",
    MAC,
    ("203.0.113.50", "2001:db8::5"),
    (
        OuterSubnet("203.0.113.0/24", "203.0.113.1"),
        OuterSubnet("198.51.100.0/24", "198.51.100.1"),
        OuterSubnet("2001:db8::/64", "2001:db8::1"),
    ),
)
FLOATING = DistributedFloatingIp("f1", "203.0.113.77", "10.1.0.5", "outside", "port", "router")


def translation(floating: DistributedFloatingIp = FLOATING) -> Translation:
    wired = Wired(device(5, "inner"), "tap", 101, 3, 7, 1)
    return Translation(floating, wired, 5, "fa:16:3e:00:00:a1", zones([floating])[identity_of(floating)])


def identity_of(floating: DistributedFloatingIp) -> str:
    (found,) = zones([floating])
    return found


def actions_of(flows: list[Flow], table: int) -> dict[str, str]:
    return {flow.match: flow.actions for flow in flows if flow.table == table}


def test_a_translation_has_a_zone_that_no_device_and_no_other_translation_has() -> None:
    several = [replace(FLOATING, floating_ip_id=f"f{n}") for n in range(500)]
    found = zones([*several, replace(FLOATING, fixed_ip_address="10.1.0.6")])
    assert len(set(found.values())) == 501
    assert all(FIRST_ZONE <= zone <= 0xFFFF for zone in found.values())
    assert zones([FLOATING]) != zones([replace(FLOATING, fixed_ip_address="10.1.0.6")])


def test_both_ways_are_translated_and_only_what_was_goes_on() -> None:
    one = translation()
    flows = translation_flows(one, GATEWAY, VLAN)
    (arrived,) = [
        flow.actions
        for flow in flows
        if flow.table == t.SWITCH and flow.priority == 46 and flow.match.startswith("ip,")
    ]
    assert f"ct(commit,zone={one.zone},nat(dst=10.1.0.5),table={t.FLOATING_IN})" in arrived
    ((match, sent),) = actions_of(flows, t.ROUTE).items()
    assert "in_port=101," in match, "nobody else is translated"
    assert f"ct(commit,zone={one.zone},nat(src=203.0.113.77),table={t.FLOATING_OUT})" in sent
    # What connection tracking finds invalid keeps its address, and there is no flow for that.
    (inside,) = actions_of(flows, t.FLOATING_IN)
    (outside,) = actions_of(flows, t.FLOATING_OUT)
    assert "nw_dst=10.1.0.5" in inside and "nw_src=203.0.113.77" in outside


def test_the_gateway_says_where_time_ends_and_what_is_too_long() -> None:
    ended = {
        f.match[-8:]: f.actions for f in translation_flows(translation(), GATEWAY, VLAN) if f.priority == 47
    }
    assert ended == dict.fromkeys(("nw_ttl=0", "nw_ttl=1"), told(EXPIRED, ERRORS_METER))
    for inner, outer, table, length, vlan in (
        (1450, 1500, t.SWITCH, 1464, 3),
        (1500, 1400, t.ROUTE, 1414, VLAN),
    ):
        one = replace(translation(), inner_mtu=inner, outer_mtu=outer)
        flows = translation_flows(one, GATEWAY, VLAN)
        measured = [flow for flow in flows if "check_pkt_larger" in flow.actions]
        assert [flow.table for flow in measured] == [table]
        assert measured[0].actions == (
            f"check_pkt_larger({length})->NXM_NX_REG12[0],set_field:0x{vlan:x}->reg14,resubmit(,{t.FIT})"
        )
        fitting = {flow.priority: flow for flow in flows if flow.table == t.FIT}
        assert fitting[31].actions == told(TOO_BIG, ERRORS_METER) and "reg12=0x1/0x1" in fitting[31].match
        assert fitting[30].actions.startswith("dec_ttl,") and "nat(" in fitting[30].actions


def test_who_is_about_to_let_go_translates_and_answers_no_more() -> None:
    leaving = translation(replace(FLOATING, leaving=True))
    flows = translation_flows(leaving, GATEWAY, VLAN)
    assert not any("arp" in flow.match for flow in flows) and len(flows) == 6
    assert leaving.zone == translation().zone


def test_the_next_hop_is_a_neighbour_a_floating_ip_here_or_the_gateway_of_the_subnet() -> None:
    routes = leading_out(
        GATEWAY, [(5, HostRoute("10.99.0.0/16", "203.0.113.9")), (5, HostRoute("10.98.0.0/16", "10.1.0.9"))]
    )
    assert [route.destination for _, route in routes] == ["10.99.0.0/16"]
    flows = outside_flows(Outside(GATEWAY, VLAN, ("203.0.113.77",), routes))
    hops = actions_of(flows, t.HOPS)
    assert "move:NXM_OF_IP_DST[]" in hops["ip,reg6=0x9,nw_dst=203.0.113.0/24"]
    assert f"0x{int(ipaddress.IPv4Address('198.51.100.1')):x}" in hops["ip,reg6=0x9,nw_src=198.51.100.0/24"]
    assert f"0x{int(ipaddress.IPv4Address('203.0.113.1')):x}" in hops["ip,reg6=0x9"]
    assert hops["ip,reg6=0x9,nw_dst=203.0.113.77"] == f"set_field:{MAC}->eth_dst,resubmit(,60)"
    assert (
        f"0x{int(ipaddress.IPv4Address('203.0.113.9')):x}" in hops["ip,reg6=0x9,reg9=0x5,nw_dst=10.99.0.0/16"]
    )


def with_neighbours(story: Callable[[Neighbours, SimulatedFlows, ManualClock], Awaitable[Any]]) -> None:
    async def tell() -> None:
        switch = SimulatedSwitch(devices=set())
        switch.flows["br-int"] = {}
        flows, clock = SimulatedFlows(switch), ManualClock()
        found = Neighbours(SETTINGS, flows, clock)
        try:
            await story(found, flows, clock)
        finally:
            found.close()

    asyncio.run(tell())


def hop(address: str) -> int:
    return int(ipaddress.IPv4Address(address))


def test_a_packet_waits_for_the_answer_of_its_neighbour() -> None:
    async def story(found: Neighbours, flows: SimulatedFlows, clock: ManualClock) -> None:
        found.follow([Outside(GATEWAY, VLAN)], [])
        await until(lambda: len(flows.sent.get("br-int", ())) == 2)  # it asks for both gateways at once
        place = f"reg6={VLAN},reg10={hop('203.0.113.8')}"
        await found.hear(PacketIn(b"a packet", userdata=MISSING, match=place))
        question = flows.sent["br-int"][-1]
        assert question.data[28:32] == ipaddress.IPv4Address("203.0.113.50").packed
        assert question.data[38:42] == ipaddress.IPv4Address("203.0.113.8").packed
        assert question.actions == f"set_field:0x9->reg6,resubmit(,{t.FLOOD})"
        answer = bytearray(question.data)
        answer[22:28], answer[28:32] = (
            bytes.fromhex("020000000001"),
            ipaddress.IPv4Address("203.0.113.8").packed,
        )
        await found.hear(PacketIn(bytes(answer), userdata=ANSWERED, match=f"reg6={VLAN}"))
        sent = flows.sent["br-int"][-1]
        assert sent.data == b"a packet" and "set_field:02:00:00:00:00:01->eth_dst" in sent.actions
        # One that waited too long is not sent, nor what is of another network; cut off answers are nothing.
        await found.hear(PacketIn(b"late", userdata=MISSING, match=place))
        clock.advance(5)
        count = len(flows.sent["br-int"])
        await found.hear(PacketIn(bytes(answer), userdata=ANSWERED, match=f"reg6={VLAN}"))
        await found.hear(PacketIn(bytes(answer)[:20], userdata=ANSWERED, match=f"reg6={VLAN}"))
        await found.hear(PacketIn(b"other", userdata=MISSING, match=f"reg6=77,reg10={hop('203.0.113.8')}"))
        assert len(flows.sent["br-int"]) == count

    with_neighbours(story)


def test_many_missing_neighbours_are_asked_for_slowly() -> None:
    async def story(found: Neighbours, flows: SimulatedFlows, clock: ManualClock) -> None:
        found.follow([Outside(GATEWAY, VLAN)], [])
        await until(lambda: len(flows.sent.get("br-int", ())) == 2)
        for number in range(1000):
            place = f"reg6={VLAN},reg10={hop('203.0.113.0') + number}"
            await found.hear(PacketIn(b"x", userdata=MISSING, match=place))
        assert len(flows.sent["br-int"]) == 2 + 200

    with_neighbours(story)


def test_a_floating_ip_is_announced_when_it_comes(monkeypatch: Any) -> None:
    monkeypatch.setattr(neighbours, "_ANNOUNCED_AFTER_S", (0.0, 0.01))

    async def story(found: Neighbours, flows: SimulatedFlows, clock: ManualClock) -> None:
        def announced() -> int:
            own = ipaddress.IPv4Address("203.0.113.77").packed
            return sum(p.data[28:32] == p.data[38:42] == own for p in flows.sent.get("br-int", ()))

        found.follow([Outside(GATEWAY, VLAN)], [translation()])
        await until(lambda: announced() == 2)
        found.follow([Outside(GATEWAY, VLAN)], [translation()])
        await asyncio.sleep(0.05)
        assert announced() == 2, "once is enough"
        found.follow([Outside(GATEWAY, VLAN)], [])
        found.follow([Outside(GATEWAY, VLAN)], [translation()])
        await until(lambda: announced() == 4)

    with_neighbours(story)


def test_who_does_not_answer_is_forgotten(monkeypatch: Any) -> None:
    monkeypatch.setattr(neighbours, "_EVERY_S", 0.01)

    async def story(found: Neighbours, flows: SimulatedFlows, clock: ManualClock) -> None:
        learnt = [
            Flow(t.NEIGHBOURS, 10, f"reg6=0x{vlan:x},reg10=0x{hop(address):x}", "drop", t.LEARNT_COOKIE)
            for vlan, address in ((VLAN, "203.0.113.8"), (VLAN, "203.0.113.9"), (77, "203.0.113.8"))
        ]
        ours = Flow(t.NEIGHBOURS, 0, "", "drop", t.BRIDGE_COOKIE)
        await flows.apply("br-int", [*learnt, ours])
        found.follow([Outside(GATEWAY, VLAN)], [])
        frame = bytearray(42)
        frame[28:32] = ipaddress.IPv4Address("203.0.113.9").packed
        refreshing = asyncio.ensure_future(found.refresh())

        async def present() -> set[str]:
            await found.hear(PacketIn(bytes(frame), userdata=ANSWERED, match=f"reg6={VLAN}"))
            return {flow.match for flow in await flows.dump("br-int")}

        async with asyncio.timeout(10):
            while await present() != {learnt[1].match, ""}:
                await asyncio.sleep(0.001)
        for _ in range(20):
            await asyncio.sleep(0.005)
            assert learnt[1].match in await present()
        refreshing.cancel()

    with_neighbours(story)
