"""Answers to packets whose TTL ends at a distributed router."""

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
from pileus.host.l2.expired import EXPIRED, Expired, time_exceeded
from pileus.host.l2.numbers import stable_ids
from pileus.wire.distributed import DistributedInterface, DistributedRouter

GUEST, ROUTER = bytes.fromhex("fa163e000005"), bytes.fromhex("fa163e0000a1")
ADDRESS = ipaddress.IPv4Address("10.1.0.1").packed


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


def total(data: bytes) -> int:
    added = sum(struct.unpack(f"!{len(data) // 2}H", data + bytes(len(data) % 2)))
    while added >> 16:
        added = (added & 0xFFFF) + (added >> 16)
    return added


def test_the_sender_is_told_with_the_beginning_of_its_packet() -> None:
    answer = time_exceeded(frame(), ROUTER, ADDRESS)
    assert answer is not None
    assert answer[:14] == GUEST + ROUTER + b"\x08\x00"
    packet = answer[14:]
    assert (packet[9], packet[12:16]) == (1, ADDRESS)
    assert packet[16:20] == ipaddress.IPv4Address("10.1.0.5").packed
    assert packet[20:22] == b"\x0b\x00" and packet[28:] == frame()[14:]
    assert total(packet[:20]) == total(packet[20:]) == 0xFFFF
    long = time_exceeded(frame(payload=bytes(1400)), ROUTER, ADDRESS)
    assert long is not None and len(long) == 14 + 576


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
    ],
)
def test_nobody_is_told(silent: bytes) -> None:
    assert time_exceeded(silent, ROUTER, ADDRESS) is None


def test_an_echo_request_is_answered() -> None:
    assert time_exceeded(frame(protocol=1, payload=bytes([8]) + bytes(30)), ROUTER, ADDRESS) is not None


@given(st.binary(max_size=200))
def test_any_bytes_are_survived(data: bytes) -> None:
    time_exceeded(data, ROUTER, ADDRESS)
    time_exceeded(frame()[:14] + data, ROUTER, ADDRESS)


def test_the_answer_is_from_the_address_where_it_was_sent() -> None:
    async def story() -> None:
        switch = SimulatedSwitch(devices=set())
        switch.flows["br-int"] = {}
        flows = SimulatedFlows(switch)
        found = Expired("br-int", flows)
        interface = DistributedInterface("net", "fa:16:3e:00:00:a1", ("fd00::1", "10.1.0.1"))
        router = DistributedRouter(
            "router", (interface, DistributedInterface("far", "fa:16:3e:00:00:a2", ()))
        )
        found.follow([router], {"net": 3})
        (number,) = stable_ids(["router"]).values()
        for place in (f"reg6=3,reg9={number}", f"reg6=4,reg9={number}", "reg6=3,reg9=1", "reg6=3"):
            await found.hear(PacketIn(frame(), userdata=EXPIRED, match=place))
        (sent,) = flows.sent["br-int"]
        assert sent.data == time_exceeded(frame(), ROUTER, ADDRESS)
        assert sent.actions == "set_field:0x3->reg6,resubmit(,60)"

    asyncio.run(story())
