"""Actions as a switch reads them, from the canonical form of ``actions``.

Layouts are those of the OpenFlow Switch Specification 1.4 (7.2.4 instructions, 7.2.5 actions) and,
for what Open vSwitch adds, of its Nicira extensions (ovs-actions(7)): 0xffff, length, vendor 0x2320, subtype.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from collections.abc import Callable

from pileus.drivers.openflow import oxm
from pileus.drivers.openflow.actions import split_arguments, subfield
from pileus.drivers.openflow.fields import FIELDS, BadFlow, integer, value_and_mask
from pileus.drivers.openflow.memos import MEMOS

VENDOR = 0x2320
EXPERIMENTER = 0xFFFF
CONTROLLER_PORT, IN_PORT_16, NO_TABLE = 0xFFFFFFFD, 0xFFF8, 0xFF
OUTPUT, SET_MPLS_TTL, DEC_MPLS_TTL, PUSH_VLAN, POP_VLAN, PUSH_MPLS, POP_MPLS = 0, 15, 16, 17, 18, 19, 20
SET_QUEUE, GROUP, SET_NW_TTL, DEC_NW_TTL, SET_FIELD = 21, 22, 23, 24, 25
GOTO_TABLE, WRITE_METADATA, WRITE_ACTIONS, APPLY_ACTIONS, CLEAR_ACTIONS, METER = 1, 2, 3, 4, 5, 6
NX_RESUBMIT, NX_POP_QUEUE, NX_MOVE, NX_NOTE, NX_MULTIPATH, NX_BUNDLE, NX_BUNDLE_LOAD = 1, 5, 6, 8, 10, 12, 13
NX_RESUBMIT_TABLE, NX_OUTPUT_REG, NX_LEARN, NX_EXIT, NX_FIN_TIMEOUT, NX_CONTROLLER = 14, 15, 16, 17, 19, 20
NX_DEC_TTL_IDS, NX_PUSH, NX_POP, NX_SAMPLE, NX_SET_MASKED, NX_CONJUNCTION, NX_CT, NX_NAT = (
    *(21, 27, 28, 29, 33, 34, 35, 36),
)
NX_CONTROLLER2, NX_CLONE, NX_CT_CLEAR, NX_LEARN2, NX_CHECK_LENGTH = 37, 42, 43, 45, 49
HASHES = ("eth_src", "symmetric_l4", "symmetric_l3l4", "symmetric_l3l4+udp", "nw_src", "nw_dst")
LINKS = ("modulo_n", "hash_threshold", "hrw", "iter_hash")
MEMBERS = ("active_backup", "hrw")
REASONS = ("no_match", "action", "invalid_ttl", "action_set", "group", "packet_out")
ALGORITHMS = {"ftp": 21, "tftp": 69}
CT_FLAGS = {"commit": 1, "force": 2}
NAT_FLAGS = {"src": 1, "dst": 2, "persistent": 4, "hash": 8, "random": 16}
NAT_FIELDS = ((1, 4), (2, 4), (4, 16), (8, 16), (16, 2), (32, 2))
"""Bits of what is present in a range, and bytes: IPv4, IPv6 and protocol port, each its least and last."""
LEARN_FLAGS = {"send_flow_rem": 1, "delete_learned": 2}
LEARN_MATCH, LEARN_LOAD, LEARN_OUTPUT, LEARN_IMMEDIATE, LEARN_KIND = 0, 1 << 11, 2 << 11, 1 << 13, 3 << 11
_HEAD = struct.Struct("!HH")
_LONGEST = 0xFF00
_NX_HEAD = struct.Struct("!HHIH")
_ORDER = {"meter": 0, "clear_actions": 2, "write_actions": 3, "write_metadata": 4, "goto_table": 5}
_ASSIGNED = re.compile(r"([a-z_]\w*)=(\d+)/([0-9a-f]+)")
_IP4, _IP6 = r"[0-9.]+", r"[0-9a-fA-F:.]+"
_NAT_RANGE = re.compile(
    rf"(?:(?P<a>{_IP4})(?:-(?P<b>{_IP4}))?|\[(?P<c>{_IP6})\](?:-\[(?P<d>{_IP6})\])?)"
    rf"(?::(?P<port>\d+)(?:-(?P<last>\d+))?)?|(?P<e>{_IP6})(?:-(?P<f>{_IP6}))?"
)
"""IPv6 addresses stand in brackets where ports follow."""


def encode_instructions(canonical: str, protocol: int = 0) -> bytes:
    """A flow's instructions from its canonical actions. ``protocol``: the one above IP that the flow matches,
    which tells ``tp_dst`` of TCP and UDP apart. Raises BadFlow."""
    if "(" not in canonical and "meter" not in canonical and "goto" not in canonical:
        return _applied(encode_actions(canonical, protocol))
    done, actions, place = b"", b"", 0
    for token in split_arguments(canonical):
        name = re.split(r"[:(]", token, maxsplit=1)[0]
        if _ORDER.get(name, 1) < place:
            raise BadFlow(f"{token} must come earlier")
        place = _ORDER.get(name, 1)
        if place == 1:
            actions += _action(token, protocol)
            continue
        done += _applied(actions) + _instruction(name, token[len(name) :], protocol)
        actions = b""
    return done + _applied(actions)


def encode_actions(canonical: str, protocol: int = 0) -> bytes:
    """A list of actions (of a packet-out, a bucket); raises BadFlow."""
    return b"".join([_action(token, protocol) for token in split_arguments(canonical)])


def _applied(actions: bytes) -> bytes:
    return _instruction_bytes(APPLY_ACTIONS, bytes(4) + actions) if actions else b""


def _instruction(name: str, argument: str, protocol: int) -> bytes:
    match name:
        case "meter":
            return _instruction_bytes(METER, struct.pack("!I", integer(argument[1:])))
        case "goto_table":
            return _instruction_bytes(GOTO_TABLE, struct.pack("!B3x", _fits(argument[1:], 8)))
        case "clear_actions":
            return _instruction_bytes(CLEAR_ACTIONS, bytes(4))
        case "write_metadata":
            _, value, mask = value_and_mask("metadata", argument[1:])
            return _instruction_bytes(WRITE_METADATA, struct.pack("!4xQQ", value, mask))
    return _instruction_bytes(WRITE_ACTIONS, bytes(4) + encode_actions(argument[1:-1], protocol))


def _instruction_bytes(kind: int, body: bytes) -> bytes:
    if len(body) > _LONGEST:
        raise BadFlow(f"{len(body)} bytes of actions are too long for a message")
    return _HEAD.pack(kind, _HEAD.size + len(body)) + body


def _standard(kind: int, form: str = "4x", *values: int) -> bytes:
    try:
        body = struct.pack("!" + form, *values)
    except struct.error as error:
        raise BadFlow(str(error)) from error
    return _HEAD.pack(kind, _HEAD.size + len(body)) + body


def nicira(subtype: int, body: bytes = bytes(6)) -> bytes:
    """An action of Open vSwitch's own, padded to a multiple of 8 bytes."""
    length = _NX_HEAD.size + len(body)
    padding = -length % 8
    return _NX_HEAD.pack(EXPERIMENTER, length + padding, VENDOR, subtype) + body + bytes(padding)


@MEMOS.remember(32768)
def _action(token: str, protocol: int) -> bytes:
    assigned = _ASSIGNED.fullmatch(token)
    if assigned is not None:
        return _set(assigned[1], int(assigned[2]), int(assigned[3], 16), protocol)
    name = re.split(r"[:(]", token, maxsplit=1)[0]
    argument = token[len(name) + 1 :]
    if token.endswith(")"):
        argument = argument[:-1]
    encoder = _ENCODERS.get(name)
    try:
        if encoder is not None:
            return encoder(argument, protocol)
    except (ValueError, IndexError, KeyError, struct.error, OverflowError) as error:
        raise BadFlow(f"{token}: {error}") from error
    raise BadFlow(f"unknown action {name}")


def _set(name: str, value: int, mask: int, protocol: int) -> bytes:
    if name == "nw_ttl":
        return _standard(SET_NW_TTL, "B3x", value)
    assigned = oxm.assignment(name, value, mask, protocol)
    if not assigned[2] & 1:
        length = _HEAD.size + len(assigned)
        padding = -length % 8
        return _HEAD.pack(SET_FIELD, length + padding) + assigned + bytes(padding)
    return nicira(NX_SET_MASKED, assigned)


def _fits(text: str, bits: int) -> int:
    number = integer(text)
    if not 0 <= number < 1 << bits:
        raise BadFlow(f"{text} does not fit into {bits} bits")
    return number


def _place(text: str, protocol: int) -> tuple[bytes, int, int]:
    """Header, first bit and number of bits of a part of a field."""
    known, low, high = subfield(text)
    return oxm.header(known, protocol), low, high - low + 1


def _packed(low: int, bits: int) -> int:
    return low << 6 | bits - 1


def _output(argument: str, protocol: int) -> bytes:
    if argument.isdigit():
        return _standard(OUTPUT, "IH6x", oxm.port_32(int(argument)), 0)
    header, low, bits = _place(argument, protocol)
    return nicira(NX_OUTPUT_REG, struct.pack("!H4sH6x", _packed(low, bits), header, 0xFFFF))


def _controller(argument: str, protocol: int) -> bytes:
    if argument.isdigit():
        return _standard(OUTPUT, "IH6x", CONTROLLER_PORT, int(argument))
    body = bytes(6)
    for part in split_arguments(argument):
        key, _, value = part.partition("=")
        match key:
            case "max_len":
                body += _property(0, struct.pack("!H", integer(value)))
            case "id":
                body += _property(1, struct.pack("!H", integer(value)))
            case "reason":
                body += _property(2, bytes([REASONS.index(value)]))
            case "userdata":
                body += _property(3, bytes.fromhex(value.replace(".", "")))
            case "meter_id":
                body += _property(5, struct.pack("!I", integer(value)))
            case _:
                raise BadFlow(f"controller: {part}")
    return nicira(NX_CONTROLLER2, body)


def _property(kind: int, value: bytes) -> bytes:
    length = _HEAD.size + len(value)
    return _HEAD.pack(kind, length) + value + bytes(-length % 8)


def _resubmit(argument: str, protocol: int) -> bytes:
    port, table, *rest = argument.split(",")
    if rest:
        raise BadFlow(f"resubmit({argument})")
    number = _fits(port, 16) if port else IN_PORT_16
    if not table:
        return nicira(NX_RESUBMIT, struct.pack("!H4x", number))
    return nicira(NX_RESUBMIT_TABLE, struct.pack("!HB3x", number, _fits(table, 8)))


def _move(argument: str, protocol: int) -> bytes:
    source, _, target = argument.partition("->")
    (one, one_low, bits), (other, other_low, others) = _place(source, protocol), _place(target, protocol)
    if bits != others:
        raise BadFlow(f"move:{argument}: {bits} bits do not fit into {others}")
    return nicira(NX_MOVE, struct.pack("!HHH4s4s", bits, one_low, other_low, one, other))


def _stack(subtype: int) -> Callable[[str, int], bytes]:
    def encode(argument: str, protocol: int) -> bytes:
        header, low, bits = _place(argument, protocol)
        return nicira(subtype, struct.pack("!H4sH6x", low, header, bits))

    return encode


def _ct(argument: str, protocol: int) -> bytes:
    flags, zone_field, zone, table, alg, nested = 0, bytes(4), 0, NO_TABLE, 0, b""
    for part in split_arguments(argument):
        key, _, value = part.partition("=") if "(" not in part else part.partition("(")
        match key:
            case "commit" | "force":
                flags |= CT_FLAGS[key]
            case "table":
                table = _fits(value, 8)
            case "zone" if value.isdigit():
                zone = _fits(value, 16)
            case "zone":
                zone_field, low, bits = _place(value, protocol)
                zone = _packed(low, bits)
            case "alg":
                alg = ALGORITHMS[value]
            case "exec":
                nested += encode_actions(value[:-1], protocol)
            case "nat":
                nested = encode_nat(value[:-1]) + nested
            case _:
                raise BadFlow(f"ct: {part}")
    return nicira(NX_CT, struct.pack("!H4sHB3xH", flags, zone_field, zone, table, alg) + nested)


def encode_nat(argument: str) -> bytes:
    """The action ``nat`` inside of ``ct``; raises BadFlow."""
    flags, present, fields = 0, 0, b""
    for part in split_arguments(argument):
        key, equals, value = part.partition("=")
        flags |= NAT_FLAGS[key]
        if not equals:
            continue
        found = _NAT_RANGE.fullmatch(value)
        if found is None:
            raise BadFlow(f"nat({argument})")
        addresses = [ipaddress.ip_address(found[name]) for name in "abcdef" if found[name]]
        bit = 1 if addresses[0].version == 4 else 4
        for place, address in enumerate(addresses):
            present |= bit << place
            fields += address.packed
        for place, port in enumerate(one for one in (found["port"], found["last"]) if one):
            present |= 16 << place
            fields += struct.pack("!H", int(port))
    return nicira(NX_NAT, struct.pack("!2xHH", flags, present) + fields)


def _conjunction(argument: str, protocol: int) -> bytes:
    number, fraction = argument.split(",")
    clause, _, count = fraction.partition("/")
    return nicira(NX_CONJUNCTION, struct.pack("!BBI", int(clause) - 1, int(count), integer(number)))


def _dec_ttl(argument: str, protocol: int) -> bytes:
    if not argument:
        return _standard(DEC_NW_TTL)
    ids = [integer(one) for one in argument.split(",")]
    return nicira(NX_DEC_TTL_IDS, struct.pack(f"!H4x{len(ids)}H", len(ids), *ids))


def _multipath(argument: str, protocol: int) -> bytes:
    fields, basis, algorithm, links, extra, target = argument.split(",")
    header, low, bits = _place(target, protocol)
    choice = LINKS.index(algorithm)
    body = struct.pack("!HH2xHHI", HASHES.index(fields), int(basis), choice, int(links) - 1, int(extra))
    return nicira(NX_MULTIPATH, body + struct.pack("!2xH4s", _packed(low, bits), header))


def _bundle(subtype: int) -> Callable[[str, int], bytes]:
    def encode(argument: str, protocol: int) -> bytes:
        head, _, members = argument.partition(":")
        fields, basis, algorithm, kind, *rest = head.split(",")
        if kind != "ofport":
            raise BadFlow(f"bundle({argument})")
        target = next((one for one in rest if one not in ("members", "slaves")), None)
        header, place = bytes(4), 0
        if target is not None:
            header, low, bits = _place(target, protocol)
            place = _packed(low, bits)
        ports = [int(one) for one in members.split(",") if one]
        return nicira(
            subtype,
            struct.pack("!HHHI", MEMBERS.index(algorithm), HASHES.index(fields), int(basis), 0x0002)
            + struct.pack(f"!HH4s4x{len(ports)}H", len(ports), place, header, *ports),
        )

    return encode


def _sample(argument: str, protocol: int) -> bytes:
    values = dict(part.split("=") for part in argument.split(","))
    keys = ("probability", "collector_set_id", "obs_domain_id", "obs_point_id")
    if values.keys() - {*keys}:
        raise BadFlow(f"sample({argument})")
    return nicira(NX_SAMPLE, struct.pack("!HIII", *(integer(values.get(key, "0")) for key in keys)))


def _check_length(argument: str, protocol: int) -> bytes:
    length, _, target = argument.partition(")->")
    header, low, _ = _place(target, protocol)
    return nicira(NX_CHECK_LENGTH, struct.pack("!HH4s6x", integer(length), low, header))


def _fin_timeout(argument: str, protocol: int) -> bytes:
    values = dict(part.split("=") for part in argument.split(","))
    return nicira(
        NX_FIN_TIMEOUT,
        struct.pack("!HH2x", *(integer(values.get(key, "0")) for key in ("idle_timeout", "hard_timeout"))),
    )


def _learn(argument: str, protocol: int) -> bytes:
    values = {"table": 1, "priority": 32768}
    flags, specs = 0, b""
    for part in split_arguments(argument):
        key, equals, value = part.partition("=")
        if part in LEARN_FLAGS:
            flags |= LEARN_FLAGS[part]
        elif equals and value.isdigit() and key not in FIELDS:
            values[key] = int(value)
        else:
            specs += _learnt(part, protocol)
    keys = ("idle_timeout", "hard_timeout", "priority", "cookie")
    body = struct.pack("!HHHQ", *(values.pop(key, 0) for key in keys))
    body += struct.pack("!HBx", flags, values.pop("table"))
    body += struct.pack("!HH", values.pop("fin_idle_timeout", 0), values.pop("fin_hard_timeout", 0))
    limit = values.pop("limit", 0)
    if values:
        raise BadFlow(f"learn: {', '.join(values)}")
    if limit:
        return nicira(NX_LEARN2, body + struct.pack("!I4x", limit) + specs)
    return nicira(NX_LEARN, body + specs)


def _learnt(part: str, protocol: int) -> bytes:
    """One thing that a learnt flow matches or does."""
    if part.startswith("output:"):
        header, low, bits = _place(part[7:], protocol)
        return struct.pack("!H4sH", LEARN_OUTPUT | bits, header, low)
    kind = LEARN_LOAD if part.startswith("load:") else LEARN_MATCH
    if kind == LEARN_LOAD:
        source, _, target = part[5:].partition("->")
    elif "/" in part:  # a whole field with a value
        name, _, value = part.partition("=")
        source, target = value.partition("/")[0], f"{name}[0..{FIELDS[name].bits - 1}]"
    else:
        target, equals, source = part.partition("=")
        source = source if equals else target
    header, low, bits = _place(target, protocol)
    if source.isdigit():
        size = -(-bits // 16) * 2
        return (
            struct.pack("!H", kind | LEARN_IMMEDIATE | bits)
            + int(source).to_bytes(size)
            + header
            + struct.pack("!H", low)
        )
    one, one_low, one_bits = _place(source, protocol)
    if one_bits != bits:
        raise BadFlow(f"learn: {part}")
    return struct.pack("!H4sH4sH", kind | bits, one, one_low, header, low)


def _plain(kind: int, form: str) -> Callable[[str, int], bytes]:
    return lambda argument, protocol: _standard(kind, form, integer(argument))


def _bare(encoded: bytes) -> Callable[[str, int], bytes]:
    return lambda argument, protocol: encoded


_ENCODERS: dict[str, Callable[[str, int], bytes]] = {
    "output": _output,
    "controller": _controller,
    "resubmit": _resubmit,
    "move": _move,
    "push": _stack(NX_PUSH),
    "pop": _stack(NX_POP),
    "ct": _ct,
    "ct_clear": _bare(nicira(NX_CT_CLEAR)),
    "conjunction": _conjunction,
    "clone": lambda argument, protocol: nicira(NX_CLONE, bytes(6) + encode_actions(argument, protocol)),
    "note": lambda argument, protocol: nicira(NX_NOTE, bytes.fromhex(argument.replace(".", ""))),
    "learn": _learn,
    "multipath": _multipath,
    "bundle": _bundle(NX_BUNDLE),
    "bundle_load": _bundle(NX_BUNDLE_LOAD),
    "sample": _sample,
    "check_pkt_larger": _check_length,
    "fin_timeout": _fin_timeout,
    "exit": _bare(nicira(NX_EXIT)),
    "dec_ttl": _dec_ttl,
    "set_queue": _plain(SET_QUEUE, "I"),
    "pop_queue": _bare(nicira(NX_POP_QUEUE)),
    "group": _plain(GROUP, "I"),
    "push_vlan": _plain(PUSH_VLAN, "H2x"),
    "pop_vlan": _bare(_standard(POP_VLAN)),
    "push_mpls": _plain(PUSH_MPLS, "H2x"),
    "pop_mpls": _plain(POP_MPLS, "H2x"),
    "set_mpls_ttl": _plain(SET_MPLS_TTL, "B3x"),
    "dec_mpls_ttl": _bare(_standard(DEC_MPLS_TTL)),
}
