"""One suite about flows and meters, asked of Open vSwitch and of the simulated switch."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import msgspec
import pytest
from tests.switches import Host, eventually

from pileus.drivers.openflow.flow import Flow, difference, parse_flow
from pileus.drivers.openflow.table import (
    Bucket,
    FlowRejected,
    Group,
    Meter,
    MeterBand,
    PacketOut,
    SwitchAbsent,
    SwitchRefused,
)
from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.drivers.ovsdb.edit import Edit
from pileus.drivers.process import run

OURS, THEIRS = 0xA1, 0xB2
SPELLINGS = [
    msgspec.structs.replace(parse_flow(line), table=number % 20, priority=100 + number, cookie=OURS)
    for number, line in enumerate((Path(__file__).parent / "flows.txt").read_text().splitlines())
]
"""Flows in many spellings: what is asked for and what a switch answers must be found equal."""


def is_ours(cookie: int) -> bool:
    return cookie == OURS


async def with_bridge(host: Host, fail_mode: str | None = "secure") -> OvsdbClient:
    client = await host.client()
    edit = Edit(client)
    edit.ensure_bridge("br-int", datapath_type="netdev", fail_mode=fail_mode)
    await edit.commit(wait_s=5)
    return client


def test_what_was_written_is_found_again(host: Host) -> None:
    async def story() -> None:
        await with_bridge(host)
        assert await host.flows.dump("br-int") == []
        await host.flows.apply("br-int", SPELLINGS)
        installed = await host.flows.dump("br-int")
        assert len(installed) == len(SPELLINGS)
        assert difference(SPELLINGS, installed, is_ours) == ([], [])
        await host.flows.apply("br-int", [], installed)
        assert await host.flows.dump("br-int") == []

    host.run(story())


def test_only_what_differs_is_written_and_others_flows_stay(host: Host) -> None:
    async def story() -> None:
        await with_bridge(host)
        theirs = Flow(0, 9, "in_port=9", "drop", THEIRS)
        old = Flow(5, 3, "tcp,tp_dst=22", "output:1", OURS)
        kept = Flow(5, 3, "tcp,tp_dst=23", "output:1", OURS)
        gone = Flow(5, 3, "tcp,tp_dst=24", "output:1", OURS)
        await host.flows.apply("br-int", [theirs, old, kept, gone])
        new = Flow(5, 3, "tcp,tcp_dst=0x16", "output:2", OURS)
        more = Flow(6, 3, "", "resubmit(,7)", OURS)
        plan = difference([new, kept, more], await host.flows.dump("br-int"), is_ours)
        assert plan == ([new, more], [gone])
        await host.flows.apply("br-int", *plan)
        installed = await host.flows.dump("br-int")
        assert set(installed) == {theirs, new, kept, more}
        assert difference([new, kept, more], installed, is_ours) == ([], [])

    host.run(story())


def test_flows_are_counted_by_the_bits_of_their_cookie(host: Host) -> None:
    async def story() -> None:
        await with_bridge(host)
        assert await host.flows.count("br-int", 0, 0) == 0
        ours = [Flow(5, number, "ip", "drop", 0x50110001 + number % 4) for number in range(10)]
        others = [Flow(6, 1, "ip", "drop", 0x50110008), Flow(6, 2, "ip", "drop", 0x150110001)]
        await host.flows.apply("br-int", [*ours, *others])
        assert await host.flows.count("br-int", 0x50110000, 0xFFFFFFFFFFFFFFF8) == len(ours)
        assert await host.flows.count("br-int", 0, 0) == len(ours) + len(others)
        await host.flows.apply("br-int", [], ours[:3])
        assert await host.flows.count("br-int", 0x50110000, 0xFFFFFFFFFFFFFFF8) == len(ours) - 3

    host.run(story())


def test_a_flow_is_not_deleted_for_another_owner(host: Host) -> None:
    async def story() -> None:
        await with_bridge(host)
        theirs = Flow(1, 1, "ip", "drop", THEIRS)
        await host.flows.apply("br-int", [theirs])
        await host.flows.apply("br-int", [], [Flow(1, 1, "ip", "drop", OURS)])
        assert await host.flows.dump("br-int") == [theirs]

    host.run(story())


@pytest.mark.parametrize(
    "bad",
    [
        Flow(1, 2, "tcp,no_such_field=1", "drop"),
        Flow(1, 2, "tcp", "no_such_action:5"),
        Flow(1, 70000, "tcp", "drop"),
        Flow(1, 2, "dl_src=00:00:00:00:00:0g", "drop"),
        Flow(1, 2, "in_port=1", "set_field:1->no_such_field"),
        Flow(1, 2, "in_port=1", "load:0x100->NXM_NX_REG0[0..7]"),
        Flow(1, 2, "in_port=1", "output:70000"),
        Flow(1, 2, "in_port=1", "meter:99"),
        Flow(1, 2, "in_port=1", "group:99"),
    ],
    ids=str,
)
def test_a_bundle_with_a_bad_flow_changes_nothing_and_names_it(host: Host, bad: Flow) -> None:
    async def story() -> None:
        await with_bridge(host)
        present = Flow(1, 1, "ip", "drop", OURS)
        await host.flows.apply("br-int", [present])
        with pytest.raises(FlowRejected) as refusal:
            await host.flows.apply("br-int", [Flow(1, 5, "arp", "drop", OURS), bad], [present])
        assert bad.actions in refusal.value.culprit
        assert refusal.value.reason
        assert await host.flows.dump("br-int") == [present]

    host.run(story())


def test_a_bridge_that_is_not_there(host: Host) -> None:
    async def story() -> None:
        for question in (
            host.flows.dump("br-none"),
            host.flows.apply("br-none", [Flow(0, 1, "", "drop")]),
            host.flows.meters("br-none"),
            host.flows.packets("br-none"),
            host.flows.count("br-none", 0, 0),
        ):
            with pytest.raises(SwitchAbsent):
                await question
        assert host.flows.incarnation("br-none") is None
        await host.flows.until_gone("br-none")

    host.run(story())


def test_an_open_bridge_begins_as_an_ordinary_switch(host: Host) -> None:
    async def story() -> None:
        await with_bridge(host, fail_mode=None)
        assert await host.flows.dump("br-int") == [Flow(0, 0, "", "NORMAL")]

    host.run(story())


def test_flows_die_with_their_bridge_and_with_vswitchd(host: Host) -> None:
    async def story() -> None:
        client = await with_bridge(host)
        await host.flows.apply("br-int", [Flow(0, 1, "", "drop", OURS)])
        edit = Edit(client)
        edit.delete_bridge("br-int")
        await edit.commit(wait_s=5)
        with pytest.raises(SwitchAbsent):
            await host.flows.dump("br-int")
        edit = Edit(client)
        edit.ensure_bridge("br-int", datapath_type="netdev", fail_mode="secure")
        await edit.commit(wait_s=5)
        assert await host.flows.dump("br-int") == []
        await host.flows.apply("br-int", [Flow(0, 1, "", "drop", OURS)])
        await host.kill_vswitchd()
        with pytest.raises(SwitchAbsent):
            await host.flows.dump("br-int")
        await host.start_vswitchd()
        assert await host.flows.dump("br-int") == []

    host.run(story())


def test_meters_come_change_and_go_with_the_flows_that_use_them(host: Host) -> None:
    async def story() -> None:
        await with_bridge(host)
        slow, fast = Meter(MeterBand(1000, 100)), Meter(MeterBand(9000))
        packets = Meter(MeterBand(50, 5), packets=True)
        await host.flows.apply_meters("br-int", {1: slow, 2: slow, 3: packets})
        await host.flows.apply_meters("br-int", {1: fast, 3: packets})
        assert await host.flows.meters("br-int") == {1: fast, 2: slow, 3: packets}
        metered = Flow(0, 1, "in_port=1", "meter:2,output:2", OURS)
        free = Flow(0, 1, "in_port=2", "output:1", OURS)
        await host.flows.apply("br-int", [metered, free])
        assert set(await host.flows.dump("br-int")) == {metered, free}
        await host.flows.apply_meters("br-int", {}, [2, 3, 44])
        assert await host.flows.meters("br-int") == {1: fast}
        assert await host.flows.dump("br-int") == [free]
        with pytest.raises(SwitchRefused):
            await host.flows.apply_meters("br-int", {7: Meter(MeterBand(0))})

    host.run(story())


def test_groups_come_change_and_go_with_the_flows_that_use_them(host: Host) -> None:
    async def story() -> None:
        await with_bridge(host)
        choice = Group("select", (Bucket("output:1", 3), Bucket("set_field:0x5->reg0,output:2", 1)))
        everybody = Group("all", (Bucket("output:1"), Bucket("output:3")))
        await host.flows.apply_groups("br-int", {1: choice, 2: choice})
        await host.flows.apply_groups("br-int", {2: everybody})
        assert await host.flows.groups("br-int") == {1: choice, 2: everybody}
        grouped = Flow(0, 1, "in_port=4", "group:2", OURS)
        free = Flow(0, 1, "in_port=5", "output:1", OURS)
        await host.flows.apply("br-int", [grouped, free])
        assert set(await host.flows.dump("br-int")) == {grouped, free}
        await host.flows.apply_groups("br-int", {}, [2, 44])
        assert await host.flows.groups("br-int") == {1: choice}
        assert await host.flows.dump("br-int") == [free]
        with pytest.raises(SwitchRefused):
            await host.flows.apply_groups("br-int", {7: Group("all", (Bucket("no_such_action"),))})

    host.run(story())


def test_changes_by_others_are_told_and_own_ones_are_not(host: Host) -> None:
    async def story() -> None:
        await with_bridge(host)
        other = host.another()
        ours = [Flow(5, number, "ip", "drop", OURS) for number in range(20)]
        await host.flows.apply("br-int", ours)
        heard: list[frozenset[int] | None] = []

        async def listen() -> None:
            async for cookies in host.flows.changes("br-int"):
                heard.append(cookies)  # noqa: PERF401 (it is looked at meanwhile)

        listening = asyncio.ensure_future(listen())
        mark = [Flow(6, 0, "", "drop", THEIRS)]

        async def marked() -> bool:
            # A change by the other tells that all before it would have been heard.
            mark[0] = msgspec.structs.replace(mark[0], priority=mark[0].priority + 1)
            await other.apply("br-int", mark)
            return bool(heard)

        await eventually(marked)
        heard.clear()
        await host.flows.apply("br-int", [Flow(7, 1, "ip", "drop", OURS)], ours[:2])
        await host.flows.apply("br-int", [msgspec.structs.replace(ours[2], actions="output:7")])
        await eventually(marked)
        assert set(heard) == {frozenset({THEIRS})}, "what was done here is not told"
        for change in (
            ([], ours[3:5]),
            ([msgspec.structs.replace(ours[5], actions="output:9")], []),
            ([Flow(8, 1, "ip", "drop", OURS)], []),
        ):
            heard.clear()
            await other.apply("br-int", *change)
            await eventually(lambda: _told(heard))
        await host.kill_vswitchd()
        async with asyncio.timeout(10):
            with contextlib.suppress(SwitchAbsent):
                await listening
        await other.close()

    async def _told(heard: list[frozenset[int] | None]) -> bool:
        return any(cookies is not None and OURS in cookies for cookies in heard)

    host.run(story())


def test_packets_come_and_go_by_the_controllers_way(host: Host) -> None:
    frame = bytes.fromhex("ffffffffffff0a0000000001") + b"\x12\x34" + bytes(50)

    async def story() -> None:
        await with_bridge(host)
        packets = host.flows.packets_in("br-int")
        first = asyncio.ensure_future(anext(packets))

        async def came() -> bool:
            out = PacketOut(frame, "controller(userdata=01.02.ff)", in_port=7)
            await host.flows.packet_out("br-int", out)
            return first.done()

        await eventually(came)
        packet = await first
        assert (packet.data, packet.userdata, packet.value("in_port")) == (frame, b"\x01\x02\xff", 7)
        with pytest.raises(SwitchRefused):
            await host.flows.packet_out("br-int", PacketOut(frame, "no_such_action"))
        await host.kill_vswitchd()
        assert [packet async for packet in packets if packet.data != frame] == []

    host.run(story())


def test_the_connection_is_made_again_after_a_restart(host: Host) -> None:
    async def story() -> None:
        await with_bridge(host)
        flow = Flow(0, 1, "", "drop", OURS)
        for _ in range(2):
            await host.flows.apply("br-int", [flow])
            assert await host.flows.dump("br-int") == [flow]
            gone = asyncio.ensure_future(host.flows.until_gone("br-int"))
            await host.kill_vswitchd()
            await gone
            await host.start_vswitchd()
        await host.flows.close()
        assert await host.flows.dump("br-int") == []

    host.run(story())


@pytest.mark.real
def test_a_connection_that_ends_is_no_death(real_host: Host) -> None:
    """Whoever waits for the end of vswitchd would else tell a living one to forward nothing new."""

    async def story() -> None:
        await with_bridge(real_host)
        gone = asyncio.ensure_future(real_host.flows.until_gone("br-int"))
        for _ in range(3):
            await real_host.flows.dump("br-int")
            await real_host.flows.close()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(gone), 0.3)
        await real_host.kill_vswitchd()
        await gone

    real_host.run(story())


@pytest.mark.real
def test_a_flow_sends_its_packets_to_the_controller_with_their_registers(real_host: Host) -> None:
    frame = bytes.fromhex("ffffffffffff0a0000000001") + b"\x12\x34" + bytes(50)

    async def story() -> None:
        await with_bridge(real_host)
        actions = "set_field:0x77->reg5,controller(userdata=aa.bb)"
        await real_host.flows.apply("br-int", [Flow(0, 1, "dl_type=0x1234", actions, OURS)])
        packets = real_host.flows.packets_in("br-int")
        first = asyncio.ensure_future(anext(packets))

        async def came() -> bool:
            await real_host.flows.packet_out("br-int", PacketOut(frame, "resubmit(,0)", in_port=3))
            return first.done()

        await eventually(came)
        packet = await first
        assert (packet.data, packet.userdata, packet.cookie, packet.table) == (frame, b"\xaa\xbb", OURS, 0)
        assert (packet.value("reg5"), packet.value("in_port"), packet.value("reg6")) == (0x77, 3, None)
        await packets.aclose()

    real_host.run(story())


@pytest.mark.real
def test_an_unchanged_flow_keeps_its_counter(real_host: Host) -> None:
    async def story() -> None:
        await with_bridge(real_host)
        kept, changed = Flow(0, 1, "in_port=1", "drop", OURS), Flow(0, 1, "in_port=2", "drop", OURS)
        await real_host.flows.apply("br-int", [kept, changed])
        frame = "ffffffffffff0a000000000108060001080006040001" + "00" * 20
        for port in (1, 1, 1, 2):
            packet_out = f"in_port={port} packet={frame} actions=table"
            target = f"unix:{real_host.folder}/br-int.mgmt"
            await run(("ovs-ofctl", "-O", "OpenFlow14", "packet-out", target, packet_out))

        async def counts() -> tuple[int, int]:
            packets = await real_host.flows.packets("br-int")
            return packets[kept.key], packets[changed.key]

        assert await counts() == (3, 1)
        desired = [kept, Flow(0, 1, "in_port=2", "output:1", OURS), Flow(1, 1, "", "drop", OURS)]
        plan = difference(desired, await real_host.flows.dump("br-int"), is_ours)
        assert len(plan.add) == 2
        await real_host.flows.apply("br-int", *plan)
        assert await counts() == (3, 1)

    real_host.run(story())


@pytest.mark.real
def test_thousands_of_flows_are_one_bundle(real_host: Host) -> None:
    async def story() -> None:
        await with_bridge(real_host)
        flows = [
            Flow(
                60 + n % 20,
                n % 10,
                f"tcp,reg5={n % 200},nw_src=10.0.{n // 250}.{n % 250},tp_dst={n}",
                "drop",
                OURS,
            )
            for n in range(4000)
        ]
        await real_host.flows.apply("br-int", flows)
        assert difference(flows, await real_host.flows.dump("br-int"), is_ours) == ([], [])

    real_host.run(story())
