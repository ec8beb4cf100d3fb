"""OpenFlow 1.4 messages: the numbers, and the layouts that flows, meters, groups and packets need.

By the OpenFlow Switch Specification 1.4.1; sections are named where a layout stands.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

from pileus.drivers.openflow import decode, encode, oxm
from pileus.drivers.openflow.actions import canonical_actions
from pileus.drivers.openflow.fields import BadFlow, field
from pileus.drivers.openflow.flow import Flow

VERSION = 5
HEADER = struct.Struct("!BBHI")
HELLO, ERROR, ECHO_REQUEST, ECHO_REPLY, VENDOR_MESSAGE, FEATURES_REQUEST, FEATURES_REPLY = 0, 1, 2, 3, 4, 5, 6
SET_CONFIG, PACKET_IN, PACKET_OUT, FLOW_MOD, GROUP_MOD = 9, 10, 13, 14, 15
MULTIPART_REQUEST, MULTIPART_REPLY, BARRIER_REQUEST, BARRIER_REPLY = 18, 19, 20, 21
METER_MOD, BUNDLE_CONTROL, BUNDLE_ADD = 29, 33, 34
MP_FLOW, MP_AGGREGATE, MP_GROUP_DESCRIPTION, MP_METER_CONFIG, MP_FLOW_MONITOR, MORE = 1, 2, 7, 10, 16, 1
OPEN, OPENED, CLOSE, CLOSED, COMMIT, COMMITTED, DISCARD, DISCARDED = range(8)
ADD, MODIFY, DELETE, DELETE_STRICT = 0, 1, 2, 4
_ALL_TABLES, _ANY, _NO_BUFFER = 0xFF, 0xFFFFFFFF, 0xFFFFFFFF
_ALL_METERS, _ALL_GROUPS = 0xFFFFFFFF, 0xFFFFFFFC
_EMPTY_MATCH = struct.pack("!HH4x", 1, 4)
_FLOW_MOD = struct.Struct("!QQBBHHHIIIHH")
_FLOW_STATS = struct.Struct("!HBxIIHHHHH2xQQQ")
BAD_ACTION, BAD_BUCKET = (2, 0), (6, 13)
LONGEST = 0xFFFF - 3 * HEADER.size
"""The longest body, in a bundle too."""
_MONITOR = struct.Struct("!IIIHBB")
_UPDATE, _FULL_UPDATE = struct.Struct("!HH"), struct.Struct("!HHBBHHH4xQ")
_ALL_CHANGES = 2 | 4 | 8
"""Flows that come, go and become others (OFPFMF_ADD, _REMOVED, _MODIFY)."""
_ABBREVIATED, _PAUSED, _RESUMED = 4, 5, 6
_BUNDLE_ADD = struct.Struct("!I2xH")
_ATOMIC_AND_ORDERED = 3
_OPTION_FLAGS = {
    "send_flow_rem": 1,
    "check_overlap": 2,
    "reset_counts": 4,
    "no_packet_counts": 8,
    "no_byte_counts": 16,
}
_KBPS, _PKTPS, _BURST, _DROP_BAND = 1, 2, 4, 1
_METER_HEAD = struct.Struct("!HHI")
_BAND = struct.Struct("!HHII4x")
_GROUP_HEAD = struct.Struct("!HBxI")
_BUCKET = struct.Struct("!HHII4x")
GROUP_TYPES = ("all", "select", "indirect", "fast_failover")
_NICIRA = 0x2320
_PACKET_IN_FORMAT, _PACKET_IN2 = 16, 30
_ERRORS = {
    1: "BAD_REQUEST",
    2: "BAD_ACTION",
    3: "BAD_INSTRUCTION",
    4: "BAD_MATCH",
    5: "FLOW_MOD_FAILED",
    6: "GROUP_MOD_FAILED",
    12: "METER_MOD_FAILED",
    17: "BUNDLE_FAILED",
}
_CODES = {
    (1, 5): "EPERM",
    (2, 0): "BAD_TYPE",
    (2, 1): "BAD_LEN",
    (2, 4): "BAD_OUT_PORT",
    (2, 5): "BAD_ARGUMENT",
    (2, 7): "TOO_MANY",
    (2, 9): "BAD_OUT_GROUP",
    (2, 10): "MATCH_INCONSISTENT",
    (2, 13): "BAD_SET_TYPE",
    (2, 15): "BAD_SET_ARGUMENT",
    (3, 2): "BAD_TABLE_ID",
    (4, 6): "BAD_FIELD",
    (4, 7): "BAD_VALUE",
    (4, 8): "BAD_MASK",
    (4, 9): "BAD_PREREQ",
    (5, 1): "TABLE_FULL",
    (5, 2): "BAD_TABLE_ID",
    (5, 3): "OVERLAP",
    (12, 2): "INVALID_METER",
    (12, 6): "BAD_RATE",
    (12, 11): "OUT_OF_METERS",
    (17, 14): "MSG_FAILED",
}


class MeterBand(msgspec.Struct, frozen=True):
    """Above this rate packets are dropped; in the meter's unit, and its thousandth's for the burst:
    kilobits a second and kilobits, or packets a second and packets. A burst of 0 is the switch's choice."""

    rate: int
    burst: int = 0


class Meter(msgspec.Struct, frozen=True):
    """A meter with one band that drops. ``packets``: counts packets, not kilobits."""

    band: MeterBand
    packets: bool = False


class Bucket(msgspec.Struct, frozen=True, eq=False):
    """One way in which a group treats a packet; ``actions`` in the words of ovs-ofctl.

    ``weight`` is for ``select``. Two are equal when a switch would do the same.
    """

    actions: str
    weight: int = 0

    def _form(self) -> tuple[str, int]:
        return canonical_actions(self.actions), self.weight

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bucket) and self._form() == other._form()

    def __ne__(self, other: object) -> bool:
        return not self == other  # the struct's own would compare the texts

    def __hash__(self) -> int:
        return hash(self._form())


class Group(msgspec.Struct, frozen=True):
    """``type`` is one of ``GROUP_TYPES``: every bucket, one by the packet's hash, the only one, or the first
    that works."""

    type: str
    buckets: tuple[Bucket, ...] = ()


class PacketIn(msgspec.Struct, frozen=True):
    """A packet that a flow has sent to the controller.

    ``userdata`` is what the flow's action ``controller(userdata=…)`` carries; ``match`` tells where the
    packet came from and its registers, in the words of ovs-ofctl.
    """

    data: bytes
    table: int = 0
    cookie: int = 0
    userdata: bytes = b""
    match: str = ""

    def value(self, name: str) -> int | None:
        """A field of ``match`` as a number; None: it is not there (a register that is 0)."""
        for token in self.match.split(","):
            key, _, text = token.partition("=")
            if key == name:
                return field(name).parse(text.partition("/")[0])
        return None


class PacketOut(msgspec.Struct, frozen=True):
    """A packet to be treated by ``actions``; ``in_port`` is where it is taken to have come from."""

    data: bytes
    actions: str
    in_port: int = 0xFFFD


def error_name(kind: int, code: int) -> str:
    """An error in the specification's words as far as they are known."""
    family = _ERRORS.get(kind)
    if family is None:
        return f"OpenFlow error {kind}, {code}"
    return f"OFP{_CODES[kind, code]} ({family})" if (kind, code) in _CODES else f"{family} {code}"


def flow_mod(flow: Flow, command: int) -> bytes:
    """The body of a message that writes or deletes one flow (7.3.4.1); raises BadFlow."""
    match = flow.key[2]
    idle = hard = importance = flags = 0
    for option in filter(None, flow.options.split(",")):
        name, _, value = option.partition("=")
        match name:
            case "idle_timeout":
                idle = int(value)
            case "hard_timeout":
                hard = int(value)
            case "importance":
                importance = int(value)
            case _:
                flags |= _OPTION_FLAGS[name]
    instructions, mask = b"", 0
    if command == ADD:
        instructions = encode.encode_instructions(flow.effect[0], oxm.protocol_of(match))
    else:
        mask = (1 << 64) - 1
    try:
        head = _FLOW_MOD.pack(
            *(flow.cookie, mask, flow.table, command, idle, hard, flow.priority),
            *(_NO_BUFFER, _ANY, _ANY, flags, importance),
        )
    except struct.error as error:
        raise BadFlow(f"{flow}: {error}") from error
    body = head + oxm.encode_match(match) + instructions
    if len(body) > LONGEST:
        raise BadFlow(f"a flow of {len(body)} bytes is too long for a message")
    return body


def flow_question(cookie: int = 0, mask: int = 0, kind: int = MP_FLOW) -> bytes:
    """A request for the flows of all tables (7.3.5.2), or for their number (7.3.5.3)."""
    head = struct.pack("!HH4x", kind, 0)
    return head + struct.pack("!B3xII4xQQ", _ALL_TABLES, _ANY, _ANY, cookie, mask) + _EMPTY_MATCH


def flow_entries(body: bytes) -> Iterator[tuple[bytes, int]]:
    """Each flow of a reply without its counters, as bytes, and the packets it has seen."""
    for still, (packets, _) in flow_counters(body):
        yield still, packets


def flow_counters(body: bytes) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Each flow of a reply without its counters, as bytes, and the packets and octets it has seen."""
    start = 0
    while start < len(body):
        length = int.from_bytes(body[start : start + 2])
        if length < _FLOW_STATS.size + len(_EMPTY_MATCH) or start + length > len(body):
            raise BadFlow("a flow is cut off")
        packets = int.from_bytes(body[start + 32 : start + 40])
        octets = int.from_bytes(body[start + 40 : start + 48])
        # Table, then what follows its age, then cookie, match and instructions.
        still = (
            body[start + 2 : start + 3] + body[start + 12 : start + 32] + body[start + 48 : start + length]
        )
        yield still, (packets, octets)
        start += length


def parse_entry(still: bytes) -> Flow:
    """A flow from what ``flow_entries`` gives; raises BadFlow."""
    table, priority, idle, hard, flags, importance, cookie = struct.unpack_from("!BHHHHH2xQ", still)
    rest = still[21:]
    size = oxm.match_size(rest)
    options = [name for name, bit in _OPTION_FLAGS.items() if flags & bit]
    options += [
        f"{name}={value}"
        for name, value in (("idle_timeout", idle), ("hard_timeout", hard), ("importance", importance))
        if value
    ]
    match = oxm.decode_match(rest[:size])
    actions = decode.decode_instructions(rest[size:])
    return Flow(table, priority, match, actions, cookie, ",".join(sorted(options)))


def monitor_request() -> bytes:
    """A request to be told of changes of flows from now on (7.3.5.17). Those that come by the connection
    itself are told in short."""
    head = struct.pack("!HH4x", MP_FLOW_MONITOR, 0)
    return head + _MONITOR.pack(1, _ANY, _ANY, _ALL_CHANGES, _ALL_TABLES, 0) + _EMPTY_MATCH


def changed_cookies(body: bytes) -> set[int] | None:
    """The cookies of flows that others have changed, from a reply (7.3.5.18). None: the switch has left some
    out, since there were too many. Raises ValueError."""
    found: set[int] = set()
    start = 0
    while start < len(body):
        length, event = _UPDATE.unpack_from(body, start)
        if length < _UPDATE.size or start + length > len(body):
            raise BadFlow("an update is cut off")
        if event in (_PAUSED, _RESUMED):
            return None
        if event != _ABBREVIATED:
            found.add(_FULL_UPDATE.unpack_from(body, start)[-1])
        start += length
    return found


def bundle_control(number: int, kind: int) -> bytes:
    """The body of a message about a bundle (7.3.9.1)."""
    return struct.pack("!IHH", number, kind, _ATOMIC_AND_ORDERED)


def bundle_add(number: int, xid: int, kind: int, body: bytes) -> bytes:
    """The body of a message that puts another one into a bundle (7.3.9.5)."""
    inner = HEADER.pack(VERSION, kind, HEADER.size + len(body), xid)
    return _BUNDLE_ADD.pack(number, _ATOMIC_AND_ORDERED) + inner + body


def meter_mod(command: int, number: int, meter: Meter | None) -> bytes:
    """The body of a message that writes or deletes a meter (7.3.4.5)."""
    if meter is None:
        return struct.pack("!HHI", command, 0, number)
    flags = (_PKTPS if meter.packets else _KBPS) | (_BURST if meter.band.burst else 0)
    band = _BAND.pack(_DROP_BAND, _BAND.size, meter.band.rate, meter.band.burst)
    return struct.pack("!HHI", command, flags, number) + band


def meter_question() -> bytes:
    """A request for all meters (7.3.5.13)."""
    return struct.pack("!HH4xI4x", MP_METER_CONFIG, 0, _ALL_METERS)


def parse_meters(body: bytes) -> Iterator[tuple[int, Meter]]:
    """The meters of a reply that have one dropping band."""
    start = 0
    while start < len(body):
        length, flags, number = _METER_HEAD.unpack_from(body, start)
        if length < _METER_HEAD.size or start + length > len(body):
            raise BadFlow("a meter is cut off")
        if length == _METER_HEAD.size + _BAND.size:
            kind, _, rate, burst = _BAND.unpack_from(body, start + _METER_HEAD.size)
            if kind == _DROP_BAND:
                known_burst = burst if flags & _BURST else 0
                yield number, Meter(MeterBand(rate, known_burst), packets=bool(flags & _PKTPS))
        start += length


def group_mod(command: int, number: int, group: Group | None) -> bytes:
    """The body of a message that writes or deletes a group (7.3.4.2); raises BadFlow."""
    kind = 0 if group is None else GROUP_TYPES.index(group.type)
    body = struct.pack("!HBxI", command, kind, number)
    for bucket in group.buckets if group else ():
        actions = encode.encode_actions(canonical_actions(bucket.actions))
        weight = bucket.weight or (1 if group and group.type == "select" else 0)
        body += _BUCKET.pack(_BUCKET.size + len(actions), weight, _ANY, _ANY) + actions
    return body


def parse_count(body: bytes) -> int:
    """The number of flows from a reply (7.3.5.3)."""
    count: int = struct.unpack_from("!QQI", body)[2]
    return count


def group_question() -> bytes:
    """A request for all groups (7.3.5.9)."""
    return struct.pack("!HH4x", MP_GROUP_DESCRIPTION, 0)


def parse_groups(body: bytes) -> Iterator[tuple[int, Group]]:
    """The groups of a reply; those that can't be read are left out."""
    start = 0
    while start < len(body):
        length, kind, number = _GROUP_HEAD.unpack_from(body, start)
        if length < _GROUP_HEAD.size or start + length > len(body):
            raise BadFlow("a group is cut off")
        buckets = []
        place, end = start + _GROUP_HEAD.size, start + length
        while place < end:
            size, weight, _, _ = _BUCKET.unpack_from(body, place)
            if size < _BUCKET.size or place + size > end:
                raise BadFlow("a bucket is cut off")
            actions = decode.decode_actions(body[place + _BUCKET.size : place + size])
            buckets.append(Bucket(actions, weight if GROUP_TYPES[kind] == "select" else 0))
            place += size
        yield number, Group(GROUP_TYPES[kind], tuple(buckets))
        start += length


def packet_out(packet: PacketOut) -> bytes:
    """The body of a message with a packet (7.3.7); raises BadFlow."""
    actions = encode.encode_actions(canonical_actions(packet.actions))
    head = struct.pack("!IIH6x", _NO_BUFFER, oxm.port_32(packet.in_port), len(actions))
    return head + actions + packet.data


def packet_in_format() -> bytes:
    """The body of a message that asks for packets with all that is known of them (Nicira's packet-in 2)."""
    return struct.pack("!III", _NICIRA, _PACKET_IN_FORMAT, 2)


def parse_packet_in(body: bytes) -> PacketIn | None:
    """A packet from a vendor's message; None: it is another one. Raises BadFlow."""
    vendor, kind = struct.unpack_from("!II", body)
    if (vendor, kind) != (_NICIRA, _PACKET_IN2):
        return None
    found: dict[int, bytes] = dict(decode.properties(body[8:]))
    # The fields stand without the head of an ofp_match.
    fields = found.get(6, b"")
    match = ",".join(oxm.words(part) for part in oxm.split_fields(fields)) if fields else ""
    return PacketIn(
        data=found.get(0, b""),
        table=found.get(3, b"\0")[0],
        cookie=int.from_bytes(found.get(4, b"")[-8:]),
        userdata=found.get(7, b""),
        match=match,
    )
