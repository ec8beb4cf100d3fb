"""Instructions and actions as a switch writes them, in the words of ovs-ofctl.

The opposite of ``encode``. What it does not know raises BadFlow, and so does what is cut off.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable, Iterator

from pileus.drivers.openflow import encode as e
from pileus.drivers.openflow import oxm
from pileus.drivers.openflow.fields import BadFlow
from pileus.drivers.openflow.memos import MEMOS

_HEAD = struct.Struct("!HH")
_NX_HEAD = struct.Struct("!HHIH")
_SHORTEST = 8


@MEMOS.remember(32768)
def decode_instructions(data: bytes) -> str:
    """A flow's instructions as a list of actions; "" drops. Raises BadFlow."""
    try:
        return ",".join(text for kind, body in _elements(data, 4) for text in _instruction(kind, body))
    except (struct.error, ValueError, IndexError) as error:
        raise BadFlow(f"instructions {data.hex()[:200]}: {error}") from error


def decode_actions(data: bytes) -> str:
    """A list of actions (of a bucket); raises BadFlow."""
    try:
        return ",".join(_actions(data))
    except (struct.error, ValueError, IndexError) as error:
        raise BadFlow(f"actions {data.hex()[:200]}: {error}") from error


def _elements(data: bytes, shortest: int) -> Iterator[tuple[int, bytes]]:
    """Kind and body (behind kind and length) of each."""
    start = 0
    while start < len(data):
        kind, length = _HEAD.unpack_from(data, start)
        if length < shortest or start + length > len(data):
            raise BadFlow(f"an element of {length} bytes")
        yield kind, data[start + _HEAD.size : start + length]
        start += length


def _instruction(kind: int, body: bytes) -> Iterator[str]:
    match kind:
        case e.APPLY_ACTIONS:
            yield from _actions(body[4:])
        case e.GOTO_TABLE:
            yield f"goto_table:{body[0]}"
        case e.METER:
            yield f"meter:{int.from_bytes(body[:4])}"
        case e.WRITE_METADATA:
            value, mask = struct.unpack_from("!QQ", body, 4)
            yield f"write_metadata:{value:#x}" + ("" if mask == (1 << 64) - 1 else f"/{mask:#x}")
        case e.WRITE_ACTIONS:
            yield f"write_actions({','.join(_actions(body[4:]))})"
        case e.CLEAR_ACTIONS:
            yield "clear_actions"
        case _:
            raise BadFlow(f"an unknown instruction {kind}")


def _actions(data: bytes) -> Iterator[str]:
    for kind, body in _elements(data, _SHORTEST):
        if kind == e.EXPERIMENTER:
            vendor, subtype = struct.unpack_from("!IH", body)
            decoder = _NICIRA.get(subtype) if vendor == e.VENDOR else None
            if decoder is None:
                raise BadFlow(f"an unknown action {subtype} of {vendor:#x}")
            yield decoder(body[6:])
        else:
            yield _standard(kind, body)


def _standard(kind: int, body: bytes) -> str:
    match kind:
        case e.OUTPUT:
            port, most = struct.unpack_from("!IH", body)
            return f"controller:{most}" if port == e.CONTROLLER_PORT else f"output:{port & 0xFFFF}"
        case e.SET_FIELD:
            return _set(body)
        case e.POP_VLAN:
            return "pop_vlan"
        case e.PUSH_VLAN | e.PUSH_MPLS | e.POP_MPLS:
            name = {e.PUSH_VLAN: "push_vlan", e.PUSH_MPLS: "push_mpls", e.POP_MPLS: "pop_mpls"}[kind]
            return f"{name}:{int.from_bytes(body[:2]):#x}"
        case e.SET_QUEUE:
            return f"set_queue:{int.from_bytes(body[:4])}"
        case e.GROUP:
            return f"group:{int.from_bytes(body[:4])}"
        case e.SET_NW_TTL:
            return f"mod_nw_ttl:{body[0]}"
        case e.DEC_NW_TTL:
            return "dec_ttl"
        case e.SET_MPLS_TTL:
            return f"set_mpls_ttl:{body[0]}"
        case e.DEC_MPLS_TTL:
            return "dec_mpls_ttl"
    raise BadFlow(f"an unknown action {kind}")


def _set(body: bytes) -> str:
    part = next(oxm.split_fields(body))
    known, value, mask = oxm.read_field(part)
    text = oxm.written(known, value)
    return f"set_field:{text}{'' if mask is None else f'/{oxm.written(known, mask)}'}->{known.name}"


def _part(header: bytes, low: int, bits: int) -> str:
    known = oxm.read_header(header)[0]
    return f"{known.name}[{low}..{low + bits - 1}]"


def _unpacked(header: bytes, place: int) -> str:
    return _part(header, place >> 6, (place & 63) + 1)


def _load(body: bytes) -> str:
    place, header, value = struct.unpack_from("!H4sQ", body)
    return f"load:{value:#x}->{_unpacked(header, place)}"


def _move(body: bytes) -> str:
    bits, source, target, one, other = struct.unpack_from("!HHH4s4s", body)
    return f"move:{_part(one, source, bits)}->{_part(other, target, bits)}"


def _output_reg(body: bytes) -> str:
    place, header = struct.unpack_from("!H4s", body)
    return f"output:{_unpacked(header, place)}"


def _resubmit(body: bytes) -> str:
    port = int.from_bytes(body[:2])
    return f"resubmit({'' if port == e.IN_PORT_16 else port},)"


def _resubmit_table(body: bytes) -> str:
    port, table = struct.unpack_from("!HB", body)
    return f"resubmit({'' if port == e.IN_PORT_16 else port},{'' if table == e.NO_TABLE else table})"


def _stack(name: str) -> Callable[[bytes], str]:
    def decode(body: bytes) -> str:
        low, header, bits = struct.unpack_from("!H4sH", body)
        return f"{name}:{_part(header, low, bits)}"

    return decode


def _controller(body: bytes) -> str:
    most, number, reason = struct.unpack_from("!HHB", body)
    return f"controller(max_len={most},id={number},reason={e.REASONS[reason]})"


def _controller2(body: bytes) -> str:
    said = []
    for kind, value in properties(body[6:]):
        match kind:
            case 0:
                said.append(f"max_len={int.from_bytes(value[:2])}")
            case 1:
                said.append(f"id={int.from_bytes(value[:2])}")
            case 2:
                said.append(f"reason={e.REASONS[value[0]]}")
            case 3:
                said.append(f"userdata={value.hex('.')}")
            case 5:
                said.append(f"meter_id={int.from_bytes(value[:4])}")
            case _:
                raise BadFlow(f"an unknown property {kind} of controller")
    return f"controller({','.join(said)})"


def properties(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and value of each property of a list; raises BadFlow."""
    start = 0
    while start + _HEAD.size <= len(data):
        kind, length = _HEAD.unpack_from(data, start)
        if length < _HEAD.size or start + length > len(data):
            raise BadFlow("a property is cut off")
        yield kind, data[start + _HEAD.size : start + length]
        start += length + -length % 8


def _ct(body: bytes) -> str:
    flags, header, zone, table, alg = struct.unpack_from("!H4sHB3xH", body)
    said = [name for name, bit in e.CT_FLAGS.items() if flags & bit]
    if table != e.NO_TABLE:
        said.append(f"table={table}")
    if header != bytes(4):
        said.append(f"zone={_unpacked(header, zone)}")
    elif zone:
        said.append(f"zone={zone}")
    said += [f"alg={name}" for name, number in e.ALGORITHMS.items() if number == alg]
    nested = list(_actions(body[14:]))
    said += [one for one in nested if one.startswith("nat")]
    if others := [one for one in nested if not one.startswith("nat")]:
        said.append(f"exec({','.join(others)})")
    return f"ct({','.join(said)})"


def _nat(body: bytes) -> str:
    flags, present = struct.unpack_from("!HH", body, 2)
    start, values = 6, []
    for bit, size in e.NAT_FIELDS:
        value = body[start : start + size] if present & bit else b""
        start += len(value)
        values.append(value)
    addresses = [str(ipaddress.ip_address(value)) for value in values[:4] if value]
    ports = [str(int.from_bytes(value)) for value in values[4:] if value]
    if addresses and ":" in addresses[0] and ports:
        addresses = [f"[{address}]" for address in addresses]
    reach = "-".join(addresses) + (f":{'-'.join(ports)}" if ports else "")
    said = [name for name, bit in e.NAT_FLAGS.items() if flags & bit]
    if reach and said:
        said[0] += f"={reach}"
    return f"nat({','.join(said)})" if said else "nat"


def _conjunction(body: bytes) -> str:
    clause, count, number = struct.unpack_from("!BBI", body)
    return f"conjunction({number},{clause + 1}/{count})"


def _dec_ttl_ids(body: bytes) -> str:
    count = int.from_bytes(body[:2])
    return f"dec_ttl({','.join(map(str, struct.unpack_from(f'!{count}H', body, 6)))})"


def _multipath(body: bytes) -> str:
    fields, basis, choice, links, extra, place, header = struct.unpack_from("!HH2xHHI2xH4s", body)
    said = (e.HASHES[fields], basis, e.LINKS[choice], links + 1, extra, _unpacked(header, place))
    return f"multipath({','.join(map(str, said))})"


def _bundle(name: str) -> Callable[[bytes], str]:
    def decode(body: bytes) -> str:
        choice, fields, basis, _, count, place, header = struct.unpack_from("!HHHIHH4s", body)
        said = [e.HASHES[fields], str(basis), e.MEMBERS[choice], "ofport"]
        if header != bytes(4):
            said.append(_unpacked(header, place))
        ports = ",".join(map(str, struct.unpack_from(f"!{count}H", body, 22)))
        return f"{name}({','.join(said)},members:{ports})"

    return decode


def _sample(body: bytes) -> str:
    values = struct.unpack_from("!HIII", body)
    keys = ("probability", "collector_set_id", "obs_domain_id", "obs_point_id")
    return f"sample({','.join(f'{key}={value}' for key, value in zip(keys, values, strict=True))})"


def _check_length(body: bytes) -> str:
    length, low, header = struct.unpack_from("!HH4s", body)
    return f"check_pkt_larger({length})->{_part(header, low, 1)}"


def _fin_timeout(body: bytes) -> str:
    idle, hard = struct.unpack_from("!HH", body)
    return f"fin_timeout(idle_timeout={idle},hard_timeout={hard})"


def _learn2(body: bytes) -> str:
    """With the most flows that are learnt; the result is written nowhere."""
    (limit,) = struct.unpack_from("!I", body, 22)
    return _learn(body[:22] + body[30:], limit)


def _learn(body: bytes, limit: int = 0) -> str:
    idle, hard, priority, cookie, flags, table, fin_idle, fin_hard = struct.unpack_from("!HHHQHBxHH", body)
    said = [f"table={table}"]
    for name, value, usual in (
        ("idle_timeout", idle, 0),
        ("hard_timeout", hard, 0),
        ("fin_idle_timeout", fin_idle, 0),
        ("fin_hard_timeout", fin_hard, 0),
        ("priority", priority, 32768),
        ("cookie", cookie, 0),
        ("limit", limit, 0),
    ):
        if value != usual:
            said.append(f"{name}={value}")
    said += [name for name, bit in e.LEARN_FLAGS.items() if flags & bit]
    return f"learn({','.join([*said, *_learnt(body[22:])])})"


def _learnt(data: bytes) -> Iterator[str]:
    start = 0
    while start + 2 <= len(data) and (head := int.from_bytes(data[start : start + 2])):
        bits, kind = head & 0x3FF, head & e.LEARN_KIND
        start += 2
        if head & e.LEARN_IMMEDIATE:
            size = -(-bits // 16) * 2
            source = str(int.from_bytes(data[start : start + size]))
            start += size
        else:
            source = _part(data[start : start + 4], int.from_bytes(data[start + 4 : start + 6]), bits)
            start += 6
        if kind == e.LEARN_OUTPUT:
            yield f"output:{source}"
            continue
        header, low = data[start : start + 4], int.from_bytes(data[start + 4 : start + 6])
        target = _part(header, low, bits)
        start += 6
        if kind == e.LEARN_LOAD:
            yield f"load:{source}->{target}"
        elif source.isdigit() and bits == oxm.read_header(header)[0].bits:
            yield f"{target.partition('[')[0]}={source}"
        else:
            yield target if source == target else f"{target}={source}"


_NICIRA: dict[int, Callable[[bytes], str]] = {
    e.NX_RESUBMIT: _resubmit,
    e.NX_POP_QUEUE: lambda body: "pop_queue",
    e.NX_MOVE: _move,
    7: _load,
    e.NX_NOTE: lambda body: f"note:{body.hex('.')}",
    e.NX_MULTIPATH: _multipath,
    e.NX_BUNDLE: _bundle("bundle"),
    e.NX_BUNDLE_LOAD: _bundle("bundle_load"),
    e.NX_RESUBMIT_TABLE: _resubmit_table,
    e.NX_OUTPUT_REG: _output_reg,
    e.NX_LEARN: _learn,
    e.NX_LEARN2: _learn2,
    e.NX_EXIT: lambda body: "exit",
    e.NX_FIN_TIMEOUT: _fin_timeout,
    e.NX_CONTROLLER: _controller,
    e.NX_DEC_TTL_IDS: _dec_ttl_ids,
    e.NX_PUSH: _stack("push"),
    e.NX_POP: _stack("pop"),
    e.NX_SAMPLE: _sample,
    e.NX_SET_MASKED: _set,
    e.NX_CONJUNCTION: _conjunction,
    e.NX_CT: _ct,
    e.NX_NAT: _nat,
    e.NX_CONTROLLER2: _controller2,
    e.NX_CLONE: lambda body: f"clone({','.join(_actions(body[6:]))})",
    e.NX_CT_CLEAR: lambda body: "ct_clear",
    e.NX_CHECK_LENGTH: _check_length,
}
