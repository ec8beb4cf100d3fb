"""OpenFlow messages: what is written is read again, and no answer, however broken, does more than fail."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from pileus.drivers.openflow import decode, oxm
from pileus.drivers.openflow import messages as m
from pileus.drivers.openflow.actions import canonical_actions
from pileus.drivers.openflow.encode import encode_instructions
from pileus.drivers.openflow.fields import BadFlow
from pileus.drivers.openflow.flow import Flow, parse_flow
from pileus.drivers.openflow.table import FlowRejected, OpenFlow, SwitchAbsent

SPELLINGS = (Path(__file__).parents[2] / "contract" / "flows.txt").read_text().splitlines()


@pytest.mark.parametrize("line", SPELLINGS)
def test_a_flow_is_read_as_it_was_written(line: str) -> None:
    flow = parse_flow(line)
    body = m.flow_mod(flow, m.ADD)[m._FLOW_MOD.size :]
    size = oxm.match_size(body)
    again = msgspec.structs.replace(
        flow, match=oxm.decode_match(body[:size]), actions=decode.decode_instructions(body[size:])
    )
    assert again == flow


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ct(commit,zone=5,nat(src=10.0.0.1-10.0.0.9:1000-2000,random,persistent))", None),
        ("ct(table=3,zone=5,nat(dst=[fd00::1]-[fd00::2]:80))", None),
        ("ct(commit,nat(src=fd00::1))", None),
        ("ct(commit,zone=reg5[0..15],alg=ftp,table=4,nat)", None),
        ("controller(userdata=00.11,meter_id=5,max_len=128,id=3)", None),
        ("controller(reason=action,max_len=65535,id=0)", "controller:65535"),
        ("meter:5,output:1,goto_table:9", None),
        ("move:OXM_OF_VLAN_VID[]->NXM_NX_REG6[0..11]", "move:vlan_vid[0..11]->reg6[0..11]"),
    ],
)
def test_actions_with_arguments(text: str, expected: str | None) -> None:
    form = canonical_actions(text)
    assert canonical_actions(decode.decode_instructions(encode_instructions(form))) == (expected or form)


@pytest.mark.parametrize(
    "actions",
    [
        *("output:1,meter:5", "goto_table:300", "resubmit(,60,ct)", "ct(zone=70000)", "ct(alg=sip)"),
        *("ct(nat(src=nowhere))", "controller(pause)", "conjunction(5,x/2)", "set_field:5->tp_dst"),
        *("move:reg0[0..3]->reg1[0..4]", "note:zz", "dec_ttl(70000)", "multipath(a,b)", "learn(table=x)"),
    ],
)
def test_what_can_not_be_written_is_refused(actions: str) -> None:
    with pytest.raises(BadFlow):
        m.flow_mod(Flow(0, 1, "", actions), m.ADD)


def test_a_flow_that_no_message_holds_is_refused() -> None:
    with pytest.raises(BadFlow, match="too long"):
        m.flow_mod(Flow(0, 1, "", ",".join(f"output:{number}" for number in range(1, 5000))), m.ADD)


@given(st.binary(max_size=200))
def test_broken_answers_raise_one_error(data: bytes) -> None:
    readers: list[Callable[[bytes], object]] = [
        *(oxm.decode_match, decode.decode_instructions, decode.decode_actions, m.parse_entry),
        lambda body: list(m.flow_entries(body)),
        lambda body: list(m.parse_meters(body)),
        lambda body: list(m.parse_groups(body)),
        m.parse_packet_in,
    ]
    for read in readers:
        with contextlib.suppress(BadFlow, struct.error, IndexError):
            read(data)


Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def asked(folder: Path, peer: Peer, question: Callable[[OpenFlow], Awaitable[object]]) -> object:
    """What a client says to a switch that is played by ``peer``."""

    async def story() -> object:
        server = await asyncio.start_unix_server(peer, str(folder / "br.mgmt"))
        flows = OpenFlow(folder)
        try:
            return await asyncio.wait_for(question(flows), 10)
        finally:
            await flows.close()
            server.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the agents' processes
        return runner.run(story())


def message(kind: int, number: int, body: bytes = b"", length: int | None = None) -> bytes:
    return m.HEADER.pack(m.VERSION, kind, 8 + len(body) if length is None else length, number) + body


async def next_message(reader: asyncio.StreamReader) -> tuple[int, int, bytes]:
    _, kind, length, number = m.HEADER.unpack(await reader.readexactly(8))
    return kind, number, await reader.readexactly(length - 8)


def answers(*make: Callable[[int, int], bytes]) -> Peer:
    """Greet, then answer each message by the next of these."""

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await next_message(reader)
        writer.write(message(m.HELLO, 1))
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            for one in make:
                kind, number, _ = await next_message(reader)
                writer.write(one(kind, number))
            await writer.drain()
        writer.close()

    return peer


@pytest.mark.parametrize(
    "answer",
    [
        lambda kind, number: b"",
        lambda kind, number: b"\x05",
        lambda kind, number: message(m.MULTIPART_REPLY, number, b"", length=3),
        lambda kind, number: message(m.MULTIPART_REPLY, number, b"\0"),
        lambda kind, number: message(m.MULTIPART_REPLY, number, bytes(8) + b"\0\7\0"),
        lambda kind, number: message(m.ERROR, number, b"\0"),
        lambda kind, number: message(m.VENDOR_MESSAGE, 0, b"\0\0\x23\x20\0\0\0\x1e\0\0\xff\xff"),
        lambda kind, number: message(m.MULTIPART_REPLY, number + 100, bytes(8)) + message(77, 5, b"x"),
    ],
)
def test_a_switch_that_talks_nonsense_is_absent(tmp_path: Path, answer: Callable[[int, int], bytes]) -> None:
    for question in (lambda flows: flows.dump("br"), lambda flows: flows.count("br", 0, 0)):
        with pytest.raises(SwitchAbsent):
            asked(tmp_path, answers(answer), question)


def test_another_version_is_absent(tmp_path: Path) -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(m.HEADER.pack(1, m.HELLO, 8, 1))
        await reader.read()
        writer.close()

    with pytest.raises(SwitchAbsent):
        asked(tmp_path, peer, lambda flows: flows.dump("br"))


def test_probes_are_answered_and_replies_in_parts_are_joined(tmp_path: Path) -> None:
    probed = []

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await next_message(reader)
        writer.write(message(m.HELLO, 1) + message(m.ECHO_REQUEST, 9, b"probe"))
        seen = {}
        while len(seen) < 2:
            kind, number, body = await next_message(reader)
            seen[kind] = number, body
        probed.append(seen[m.ECHO_REPLY])
        number = seen[m.MULTIPART_REQUEST][0]
        meter = struct.pack("!HHIHHII4x", 24, 1, 5, 1, 16, 1000, 0)
        first = message(m.MULTIPART_REPLY, number, struct.pack("!HH4x", m.MP_METER_CONFIG, m.MORE) + meter)
        last = message(m.MULTIPART_REPLY, number, struct.pack("!HH4x", m.MP_METER_CONFIG, 0))
        for octet in first + last:  # and each octet by itself
            writer.write(bytes([octet]))
            await writer.drain()
        await reader.read()

    found = asked(tmp_path, peer, lambda flows: flows.meters("br"))
    assert found == {5: m.Meter(m.MeterBand(1000))}
    assert probed == [(9, b"probe")]


def test_a_refusal_names_the_flow_and_the_bundle_is_discarded(tmp_path: Path) -> None:
    said = []

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await next_message(reader)
        writer.write(message(m.HELLO, 1))
        adds = 0
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                kind, number, body = await next_message(reader)
                if kind == m.BUNDLE_ADD:
                    adds += 1
                    assert m.HEADER.unpack_from(body, 8)[3] == number
                    if adds == 2:
                        writer.write(message(m.ERROR, number, struct.pack("!HH", 5, 2)))
                else:
                    step = struct.unpack_from("!IH", body)[1]
                    said.append(step)
                    writer.write(message(m.BUNDLE_CONTROL, number, struct.pack("!IHH", 0, step + 1, 3)))

    flows = [Flow(number, 1, "", "drop") for number in range(3)]
    with pytest.raises(FlowRejected) as refusal:
        asked(tmp_path, peer, lambda table: table.apply("br", flows))
    assert refusal.value.culprit == str(flows[1])
    assert "BAD_TABLE_ID" in refusal.value.reason
    assert said == [m.OPEN, m.CLOSE, m.DISCARD]
