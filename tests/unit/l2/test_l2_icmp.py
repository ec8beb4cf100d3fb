"""Frames that a router itself sends, and answers to packets that end at a distributed router."""

from __future__ import annotations

import asyncio
import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.drivers.openflow.simulated import SimulatedFlows
from pileus.drivers.openflow.table import PacketIn
from pileus.drivers.ovsdb.simulated import SimulatedSwitch
from pileus.host.l2.floating import Outside
from pileus.host.l2.icmp import (
    TIME_EXCEEDED,
    TOO_BIG,
    Origin,
    Speaker,
    error,
    fragments,
    may_be_taken_apart,
    neighbour_advertisement,
    origin,
)
from pileus.host.l2.icmp_errors import IcmpErrors
from pileus.host.l2.numbers import stable_ids
from pileus.host.l2.words import EXPIRED
from pileus.host.l2.words import TOO_BIG as LONG
from pileus.wire.distributed import DistributedInterface, DistributedRouter, HostGateway

GUEST, ROUTER = bytes.fromhex("fa163e000005"), bytes.fromhex("fa163e0000a1")
ADDRESS, NEW = ipaddress.IPv4Address("10.1.0.1").packed, ipaddress.IPv6Address("fd00:1::1").packed
BY = Origin(Speaker(ROUTER, ADDRESS), Speaker(ROUTER, NEW))
DONT = 0x4000


def frame(
    source: str = "10.1.0.5",
    to: str = "10.2.0.7",
    protocol: int = 17,
    payload: bytes = b"\x12\x34\x56\x78" + bytes(60),
    fragment: int = 0,
    sender: bytes = GUEST,
) -> bytes:
    addresses = ipaddress.IPv4Address(source).packed, ipaddress.IPv4Address(to).packed
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 7, fragment, 1, protocol, 0, *addresses)
    return ROUTER + sender + b"\x08\x00" + head + payload


def new_frame(
    source: str = "fd00:1::5", to: str = "fd00:2::7", protocol: int = 17, payload: bytes = bytes(64)
) -> bytes:
    addresses = ipaddress.IPv6Address(source).packed + ipaddress.IPv6Address(to).packed
    return (
        ROUTER
        + GUEST
        + b"\x86\xdd"
        + struct.pack("!IHBB", 6 << 28, len(payload), protocol, 1)
        + addresses
        + payload
    )


def total(data: bytes) -> int:
    added = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while added >> 16:
        added = (added & 0xFFFF) + (added >> 16)
    return added


def pseudo(packet: bytes) -> bytes:
    """What the checksum of a message over IPv6 is of."""
    return packet[8:40] + struct.pack("!II", len(packet) - 40, 58) + packet[40:]


def test_the_sender_is_told_with_the_beginning_of_its_packet() -> None:
    answer = error(frame(), TIME_EXCEEDED, BY)
    assert answer is not None
    assert answer[:14] == GUEST + ROUTER + b"\x08\x00"
    packet = answer[14:]
    assert (packet[9], packet[12:16]) == (1, ADDRESS)
    assert packet[16:20] == ipaddress.IPv4Address("10.1.0.5").packed
    assert packet[20:22] == b"\x0b\x00" and packet[28:] == frame()[14:]
    assert total(packet[:20]) == total(packet[20:]) == 0xFFFF
    long = error(frame(payload=bytes(1400)), TIME_EXCEEDED, BY)
    assert long is not None and len(long) == 14 + 576


def test_senders_of_ipv6_are_told_too() -> None:
    answer = error(new_frame(), TIME_EXCEEDED, BY)
    assert answer is not None and answer[:14] == GUEST + ROUTER + b"\x86\xdd"
    packet = answer[14:]
    assert (packet[6], packet[8:24], packet[24:40]) == (58, NEW, ipaddress.IPv6Address("fd00:1::5").packed)
    assert packet[40:42] == b"\x03\x00" and packet[48:] == new_frame()[14:]
    assert total(pseudo(packet)) == 0xFFFF
    long = error(new_frame(payload=bytes(1400)), TIME_EXCEEDED, BY)
    assert long is not None and len(long) == 14 + 1280


def test_how_long_a_packet_may_be() -> None:
    old, new = error(frame(fragment=DONT), TOO_BIG, BY, 1400), error(new_frame(), TOO_BIG, BY, 1400)
    assert old is not None and old[34:36] == b"\x03\x04" and old[38:42] == struct.pack("!HH", 0, 1400)
    assert new is not None and new[54:56] == b"\x02\x00" and new[58:62] == struct.pack("!I", 1400)
    assert error(new_frame(to="ff0e::1"), TOO_BIG, BY, 1400) is not None
    assert error(new_frame(to="ff0e::1"), TIME_EXCEEDED, BY) is None


@pytest.mark.parametrize(
    "silent",
    [
        frame(source="0.0.0.0"),
        frame(source="224.0.0.1"),
        frame(to="239.1.1.1"),
        frame(to="255.255.255.255"),
        frame(fragment=5),
        frame(protocol=1, payload=bytes([11]) + bytes(30)),
        frame(protocol=1, payload=b""),
        frame(sender=b"\x01" + GUEST[1:]),
        frame()[:20],
        frame()[:12] + b"\x08\x06" + frame()[14:],
        new_frame(source="::"),
        new_frame(source="ff02::1"),
        new_frame(to="ff02::1"),
        new_frame(protocol=58, payload=bytes([3]) + bytes(30)),
        new_frame(protocol=58, payload=bytes([137]) + bytes(30)),
        new_frame(protocol=58, payload=b""),
        new_frame()[:40],
    ],
)
def test_nobody_is_told(silent: bytes) -> None:
    assert error(silent, TIME_EXCEEDED, BY) is None


def test_echo_requests_are_answered() -> None:
    assert error(frame(protocol=1, payload=bytes([8]) + bytes(30)), TIME_EXCEEDED, BY) is not None
    assert error(new_frame(protocol=58, payload=bytes([128]) + bytes(30)), TIME_EXCEEDED, BY) is not None


@given(st.binary(max_size=200))
def test_any_bytes_are_survived(data: bytes) -> None:
    for some in (data, frame()[:14] + data, new_frame()[:14] + data):
        for kind in (TIME_EXCEEDED, TOO_BIG):
            error(some, kind, BY, 1400)
        if may_be_taken_apart(some):
            fragments(some, 1400)
        neighbour_advertisement(some, ROUTER)


@given(st.integers(69, 1500), st.binary(min_size=50, max_size=3000), st.sampled_from([0, 0x2000, 0x2005, 8]))
def test_fragments_are_the_packet_again(mtu: int, payload: bytes, fragment: int) -> None:
    parts = fragments(frame(payload=payload, fragment=fragment), mtu)
    whole, offset = b"", fragment & 0x1FFF
    for place, part in enumerate(parts):
        packet = part[14:]
        assert part[:14] == frame()[:14] and len(packet) <= mtu and total(packet[:20]) == 0xFFFF
        (length,), (bits,) = struct.unpack_from("!H", packet, 2), struct.unpack_from("!H", packet, 6)
        assert length == len(packet) and bits & 0x1FFF == offset + len(whole) // 8
        assert bool(bits & 0x2000) == (place < len(parts) - 1 or bool(fragment & 0x2000))
        whole += packet[20:]
    assert whole == payload


def test_options_go_with_the_first_fragment() -> None:
    options = b"\x07\x07\x04\x00\x00\x00\x00\x00"
    plain = frame(payload=options + bytes(200))
    long = plain[:14] + b"\x47" + plain[15:]
    first, *others = fragments(long, 120)
    assert first[14] == 0x47 and first[34:42] == options and len(first) <= 134
    assert {one[14] for one in others} == {0x45} and sum(len(one) - 34 for one in others) + len(
        first
    ) - 42 == 200


def test_what_may_not_be_taken_apart() -> None:
    assert may_be_taken_apart(frame()) and not may_be_taken_apart(frame(fragment=DONT))
    assert not may_be_taken_apart(new_frame())
    assert fragments(frame(fragment=DONT), 68) == fragments(frame()[:20], 68) == []
    assert fragments(frame(payload=bytes(100))[:60], 68) == [], "the frame is cut off"


def test_who_asks_whether_an_address_is_free_hears_that_it_is_not() -> None:
    target = ipaddress.IPv6Address("fd00:1::1").packed
    asked = new_frame("fe80::5", "ff02::1:ff00:1", 58, bytes([135]) + bytes(7) + target)
    for source, to, flags in (("fe80::5", "fe80::5", 0xE0), ("::", "ff02::1", 0xA0)):
        one = asked[:22] + ipaddress.IPv6Address(source).packed + asked[38:]
        answer = neighbour_advertisement(one, ROUTER)
        assert answer is not None and answer[:12] == GUEST + ROUTER
        packet = answer[14:]
        assert (packet[7], packet[8:24], packet[24:40]) == (255, target, ipaddress.IPv6Address(to).packed)
        assert packet[40:42] == b"\x88\x00" and packet[44] == flags and packet[48:64] == target
        assert packet[64:] == b"\x02\x01" + ROUTER and total(pseudo(packet)) == 0xFFFF


def test_each_family_speaks_with_its_own_port() -> None:
    found = origin([("fa:16:3e:00:00:a1", ("10.1.0.1",)), ("fa:16:3e:00:00:a2", ("fe80::1", "fd00:1::1"))])
    assert found == Origin(Speaker(ROUTER, ADDRESS), Speaker(bytes.fromhex("fa163e0000a2"), NEW))


class Scene:
    """A router of the networks ``net`` and ``far``, and a gateway to ``out``."""

    def __init__(self) -> None:
        switch = SimulatedSwitch(devices=set())
        switch.flows["br-int"] = {}
        self.flows = SimulatedFlows(switch)
        self.errors = IcmpErrors("br-int", self.flows)
        near = DistributedInterface("net", "fa:16:3e:00:00:a1", ("10.1.0.1",))
        far = DistributedInterface("far", "fa:16:3e:00:00:a2", ())
        router = DistributedRouter("router", (near, far))
        gateway = HostGateway("gw", "out", "fa:16:3e:00:00:a1", ("10.1.0.1",))
        vlans, mtus = {"net": 3, "far": 4, "out": 5}, {"net": 1500, "far": 1400, "out": 1500}
        self.errors.follow([router], vlans, mtus, [Outside(gateway, 5)])
        (self.number,) = stable_ids(["router"]).values()

    async def hear(self, data: bytes, word: bytes, place: str) -> None:
        await self.errors.hear(PacketIn(data, userdata=word, match=place))


def test_the_answer_is_from_the_address_where_it_was_sent() -> None:
    async def story() -> None:
        scene = Scene()
        number = scene.number
        for place in (f"reg6=3,reg9={number}", f"reg6=4,reg9={number}", "reg6=3", ""):
            await scene.hear(frame(), EXPIRED, place)
        for place in ("reg6=5", f"reg6=5,reg9={number}"):
            await scene.hear(frame(), EXPIRED, place)
        sent = scene.flows.sent["br-int"]
        assert {one.data for one in sent} == {error(frame(), TIME_EXCEEDED, BY)}
        assert [one.actions for one in sent] == [
            f"set_field:0x{vlan}->reg6,resubmit(,60)" for vlan in (3, 5, 5)
        ]

    asyncio.run(story())


def test_what_is_too_long_is_told_or_taken_apart() -> None:
    async def story() -> None:
        scene = Scene()
        place = f"in_port=7,reg6=3,reg9={scene.number},reg14=4"
        long = frame(payload=bytes(1480))
        await scene.hear(frame(payload=bytes(1480), fragment=DONT), LONG, place)
        await scene.hear(long, LONG, place)
        await scene.hear(long, LONG, f"reg6=3,reg9={scene.number},reg14=9")
        told, *parts = scene.flows.sent["br-int"]
        assert told.data == error(frame(payload=bytes(1480), fragment=DONT), TOO_BIG, BY, 1400)
        assert [one.data for one in parts] == fragments(long, 1400) and len(parts) == 2
        assert {(one.in_port, one.actions) for one in parts} == {
            (7, f"set_field:0x3->reg6,set_field:0x{scene.number:x}->reg9,resubmit(,55)")
        }
        # From outside, by a floating IP.
        await scene.hear(long, LONG, "in_port=8,reg6=5,reg14=4")
        assert {one.actions for one in scene.flows.sent["br-int"][3:]} == {
            "set_field:0x5->reg6,set_field:0x0->reg9,resubmit(,60)"
        }

    asyncio.run(story())
