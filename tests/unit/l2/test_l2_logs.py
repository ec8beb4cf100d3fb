"""Logs of security groups on a node: the flows that tell of packets, and the lines that are written."""

from __future__ import annotations

import ipaddress
import json
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from pileus.core.clock import ManualClock
from pileus.drivers.openflow.table import PacketIn
from pileus.host.l2 import tables as t
from pileus.host.l2.devices import Wired
from pileus.host.l2.frames import described
from pileus.host.l2.logged import ACCEPT, DROP, Verdict, log_flows, read_verdict
from pileus.host.l2.packet_log import PacketLog
from pileus.host.l2.plan import plan_meters
from pileus.host.l2.qos import LOG_METER, Meter
from pileus.wire.switch import PacketLog as Log

from .scene import SETTINGS, device, mac, model, plug, view
from .test_l2_plan import converge

EVERYTHING, DROPS = Log("log-1", "project", "ALL"), Log("log-2", "project", "DROP")


def wired(*logs: Log, profile: int = 5, **changes: Any) -> Wired:
    return Wired(device(1, logs=logs, **changes), "tap1", 101, 1, 7, profile)


def frame(payload: bytes, protocol: int = 6, v6: bool = False, *, fragment: int = 0) -> bytes:
    """An Ethernet frame from .1 to .2."""
    head = bytes.fromhex(mac(2).replace(":", "") + mac(1).replace(":", ""))
    if v6:
        addresses = b"".join(ipaddress.IPv6Address(f"2001:db8::{n}").packed for n in (1, 2))
        return (
            head
            + b"\x86\xdd"
            + struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64)
            + addresses
            + payload
        )
    addresses = b"".join(ipaddress.IPv4Address(f"10.0.0.{n}").packed for n in (1, 2))
    fixed = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, fragment, 64, protocol, 0)
    return head + b"\x08\x00" + fixed + addresses + payload


TCP = struct.pack("!HH", 40000, 22) + bytes(16)
V4 = {"ethertype": "IPv4", "source": "10.0.0.1", "destination": "10.0.0.2"}
V6 = {"ethertype": "IPv6", "source": "2001:db8::1", "destination": "2001:db8::2"}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (frame(TCP), {**V4, "protocol": "tcp", "source_port": 40000, "destination_port": 22}),
        (frame(TCP, v6=True), {**V6, "protocol": "tcp", "source_port": 40000, "destination_port": 22}),
        (frame(b"\x08\x00", 1), {**V4, "protocol": "icmp", "icmp_type": 8, "icmp_code": 0}),
        (frame(b"\x80\x00", 58, v6=True), {**V6, "protocol": "ipv6-icmp", "icmp_type": 128, "icmp_code": 0}),
        (frame(TCP, 47), {**V4, "protocol": "47"}),
        (frame(TCP, fragment=5), {**V4, "protocol": "tcp"}),
        (frame(b"\x06\x00" + bytes(6) + TCP, 0, v6=True),
         {**V6, "protocol": "tcp", "source_port": 40000, "destination_port": 22}),
        (frame(b"\x06\x00\x00\x08" + bytes(4) + TCP, 44, v6=True), {**V6, "protocol": "tcp"}),
        (frame(TCP)[:12] + b"\x81\x00\x00\x05" + frame(TCP)[12:],
         {**V4, "protocol": "tcp", "source_port": 40000, "destination_port": 22}),
        (frame(b"\x9c"), {**V4, "protocol": "tcp"}),
        (frame(TCP)[:20], {}),
        (b"", {}),
        (bytes(12) + b"\x08\x06" + bytes(28), {"ethertype": "0x0806"}),
    ],
)  # fmt: skip
def test_a_frame_is_described(data: bytes, expected: dict[str, Any]) -> None:
    assert described(data) == expected


def test_flows_tell_of_accepted_and_dropped_packets() -> None:
    flows = log_flows(wired(EVERYTHING))
    assert {flow.table for flow in flows} == {
        t.EGRESS_RULES, t.INGRESS_RULES, t.EGRESS_ACCEPT, t.INGRESS_ACCEPT,
    }  # fmt: skip
    assert all("reg5=0x7" in flow.match and "controller(userdata=" in flow.actions for flow in flows)
    assert all(f",meter_id={LOG_METER})" in flow.actions for flow in flows)
    for flow in flows:
        if flow.table in (t.EGRESS_ACCEPT, t.INGRESS_ACCEPT):
            assert "ct_state=+trk+new" in flow.match, "the first of each connection"
            assert ",ct(commit" in flow.actions, "it is let through all the same"
        elif flow.priority == 1:
            assert flow.actions.startswith("controller(") and flow.actions.endswith(")")
    dropped = {flow.table for flow in log_flows(wired(DROPS))}
    assert dropped == {t.EGRESS_RULES, t.INGRESS_RULES}
    accepted = log_flows(wired(msgspec.structs.replace(DROPS, event="ACCEPT"), profile=5 | t.STATELESS))
    assert [(flow.table, flow.match) for flow in accepted] == [
        (t.EGRESS_ACCEPT, "reg5=0x7"), (t.INGRESS_ACCEPT, "reg5=0x7"),
    ]  # fmt: skip
    assert log_flows(wired(EVERYTHING, port_security_enabled=False)) == []
    assert log_flows(wired()) == []


def test_a_log_adds_flows_and_its_end_takes_them_away() -> None:
    _, _, before = converge(model([device(1), device(2)]), view([plug(1), plug(2)]))
    _, _, after = converge(model([device(1, logs=(EVERYTHING,)), device(2)]), view([plug(1), plug(2)]))
    more = {key: flow for key, flow in after["br-int"].items() if before["br-int"].get(key) != flow}
    assert len(after["br-int"]) == len(before["br-int"]) + len(more) == len(before["br-int"]) + 10
    assert all("controller(" in flow.actions for flow in more.values())


@pytest.mark.parametrize("action", [ACCEPT, DROP])
@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_what_flows_send_along_is_read_again(direction: str, action: str) -> None:
    verdict = Verdict(65535, direction, action)
    assert read_verdict(verdict.encoded()) == verdict
    for other in (b"", b"LG", b"XX\x00\x00\x01", verdict.encoded() + b"\x00"):
        assert read_verdict(other) is None


def packet(direction: str = "ingress", action: str = DROP, number: int = 7) -> PacketIn:
    return PacketIn(frame(TCP), userdata=Verdict(number, direction, action).encoded())


def a_log(**settings: Any) -> tuple[PacketLog, ManualClock]:
    clock = ManualClock()
    changed = msgspec.structs.replace(SETTINGS, **settings)
    return PacketLog(changed, clock), clock


def test_lines_say_who_what_and_why() -> None:
    log, _ = a_log()
    log.follow([wired(EVERYTHING, DROPS, security_group_ids=("b", "a"))])
    with capture_logs() as lines:
        log.write(packet())
        log.write(packet("egress", ACCEPT))
        log.write(packet(number=8))  # somebody else's
        log.write(PacketIn(frame(TCP), userdata=b"of another flow"))
    common = {
        "event": "packet", "log_level": "info", "room": "host.l2.packets", "port": "port-1",
        "security_groups": ["a", "b"],
        "project_ids": ["project"], **V4, "protocol": "tcp", "source_port": 40000, "destination_port": 22,
    }  # fmt: skip
    assert lines == [
        {**common, "action": "DROP", "direction": "ingress", "log_ids": ["log-1", "log-2"]},
        {**common, "action": "ACCEPT", "direction": "egress", "log_ids": ["log-1"]},
    ]
    log.follow([wired(DROPS)])
    with capture_logs() as lines:
        log.write(packet("egress", ACCEPT))
    assert lines == [], "a packet that came late, of a log that is gone"


def test_what_comes_too_fast_is_counted(tmp_path: Path) -> None:
    file = tmp_path / "packets.log"
    log, clock = a_log(log_rate_limit=100, log_burst_limit=25, log_file=str(file))
    log.follow([wired(EVERYTHING)])
    for _ in range(1000):
        log.write(packet())
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(lines) == 25 and "left_out" not in lines[0]
    clock.advance(0.1)
    for _ in range(20):
        log.write(packet())
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(lines) == 35 and lines[25]["left_out"] == 975 and "left_out" not in lines[26]
    assert lines[-1]["at"].startswith("2026-01-01T00:00:00.1")
    file.rename(tmp_path / "packets.log.1")
    clock.advance(1)
    log.write(packet())
    assert len(file.read_text().splitlines()) == 1, "a file that was moved away is begun anew"


def test_a_meter_holds_the_rate_of_what_comes_to_the_agent() -> None:
    _, wiring, _ = converge(model([device(1, logs=(EVERYTHING,)), device(2)]), view([plug(1), plug(2)]))
    limit = Meter(SETTINGS.log_rate_limit, SETTINGS.log_burst_limit, packets=True)
    assert plan_meters(wiring, SETTINGS) == {LOG_METER: limit}
    _, wiring, _ = converge(model([device(1), device(2)]), view([plug(1), plug(2)]))
    assert plan_meters(wiring, SETTINGS) == {}
