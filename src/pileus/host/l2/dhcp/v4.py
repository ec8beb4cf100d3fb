"""DHCP for IPv4 (RFC 2131): which answer a guest's question gets. Pure.

A guest has the addresses of its port and no others, so nothing is chosen and nothing remembered: an address
is offered, confirmed, or denied.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator

import msgspec

from pileus.host.l2.dhcp import options as o
from pileus.host.l2.dhcp.answer import ENDED, RENEWED, STARTED, Answer
from pileus.host.l2.dhcp.frames import Question, mac_bytes, write_v4
from pileus.host.l2.dhcp.guests import Given, Guest

DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM = range(1, 9)

_HEAD = struct.Struct("!BBBB4sHH4s4s4s4s16s64s128s4s")
_COOKIE = bytes((99, 130, 83, 99))
_BROADCAST = 0x8000
_NOWHERE, _EVERYBODY = bytes(4), b"\xff" * 6
_EVERYWHERE = "255.255.255.255"
LEAST_ROOM, MOST_ROOM = 576, 1400
"""Bytes of a packet that each client takes, and that are never exceeded."""
_HEADERS = 28
_LONG_NAME = 19
"""Bytes of what clients call themselves, which comes back."""
_SHORTEST = 300
"""Bytes of a message that old relays and clients want (RFC 1542, 2.1)."""


class Asked(msgspec.Struct, frozen=True):
    """A client's message. ``address`` is what it has, ``wanted`` what it would like."""

    kind: int
    transaction: bytes
    flags: int
    address: bytes
    wanted: bytes
    server: bytes
    chaddr: bytes
    options: dict[int, bytes]


def read(payload: bytes) -> Asked | None:
    """A client's message; None: it is none, or came through a relay."""
    if len(payload) < _HEAD.size:
        return None
    op, htype, hlen, _, xid, _, flags, ciaddr, _, _, giaddr, chaddr, _, _, cookie = _HEAD.unpack_from(payload)
    if (op, htype, hlen, cookie, giaddr) != (1, 1, 6, _COOKIE, _NOWHERE):
        return None
    options = o.read_options(payload[_HEAD.size :])
    if options is None or len(options.get(o.KIND, b"")) != 1:
        return None
    return Asked(
        kind=options[o.KIND][0],
        transaction=xid,
        flags=flags,
        address=ciaddr,
        wanted=options.get(o.REQUESTED, b""),
        server=options.get(o.SERVER, b""),
        chaddr=chaddr[:6],
        options=options,
    )


def answer(guest: Guest, question: Question) -> Answer | None:
    """Answer a datagram of a guest's; None: it is nothing that an answer is due to."""
    asked = read(question.payload)
    mac = mac_bytes(guest.mac_address)
    if asked is None or not guest.given or question.mac != mac or asked.chaddr != mac:
        return None
    match asked.kind:
        case 1:  # DISCOVER
            given = _given(guest, asked.wanted) or guest.given[0]
            return Answer(_reply(guest, given, asked, OFFER))
        case 3:  # REQUEST
            return _requested(guest, asked)
        case 8:  # INFORM
            given = _given(guest, asked.address) or guest.given[0]
            return Answer(_reply(guest, given, asked, ACK))
        case 4 | 7:  # DECLINE, RELEASE
            given_up = _given(guest, asked.wanted if asked.kind == DECLINE else asked.address)
            return Answer(leases=((given_up.address, ENDED),)) if given_up is not None else None
    return None


def _requested(guest: Guest, asked: Asked) -> Answer | None:
    """A request names the server that it has chosen, or the address that it has or had."""
    named = asked.wanted if asked.address == _NOWHERE else asked.address
    given = _given(guest, named)
    if asked.server:
        if asked.server not in {_packed(one.server) for one in guest.given}:
            return None  # it has chosen somebody else's offer
    elif len(named) != 4:
        return None
    if given is None:
        return Answer(_denial(guest, asked))
    how = STARTED if asked.server else RENEWED
    return Answer(_reply(guest, given, asked, ACK), ((given.address, how),), _lease_s(guest))


def _given(guest: Guest, address: bytes) -> Given | None:
    return next((one for one in guest.given if _packed(one.address) == address), None)


def _reply(guest: Guest, given: Given, asked: Asked, kind: int) -> bytes:
    informed = asked.kind == INFORM
    extra = dict(guest.options)
    room = int.from_bytes(asked.options.get(o.LARGEST, b"")[:2]) or LEAST_ROOM
    room = min(max(room, LEAST_ROOM), MOST_ROOM) - _HEADERS - _HEAD.size
    chosen = o.write_options(_told(guest, given, asked, kind, extra), room)
    next_server = extra.get(o.NEXT_SERVER, b"")[:4]
    message = _message(
        asked,
        yours=_NOWHERE if informed else _packed(given.address),
        next_server=next_server if len(next_server) == 4 else _packed(given.server),
        names=(_field(extra.get(o.BOOT_SERVER), 64), _field(extra.get(o.BOOT_FILE), 128)),
        options=chosen,
    )
    if asked.address != _NOWHERE:
        to, mac = str(ipaddress.IPv4Address(asked.address)), asked.chaddr
    elif asked.flags & _BROADCAST:
        to, mac = _EVERYWHERE, _EVERYBODY
    else:
        to, mac = given.address, asked.chaddr
    return write_v4((mac, mac_bytes(guest.server_mac)), (to, given.server), message)


def left_out(guest: Guest, size: int = LEAST_ROOM) -> set[int]:
    """The options that do not fit into the answers to a client that takes packets of ``size`` bytes and asks
    for all that there is."""
    asked = Asked(REQUEST, b"", 0, _NOWHERE, b"", b"", b"", {o.CLIENT: bytes(_LONG_NAME)})
    room = size - _HEADERS - _HEAD.size
    extra = dict(guest.options)
    return {
        code for given in guest.given for code in o.left_out(_told(guest, given, asked, ACK, extra), room)
    }


def _denial(guest: Guest, asked: Asked) -> bytes:
    server = guest.given[0].server
    told = [(o.KIND, bytes([NAK])), (o.SERVER, _packed(server)), *_echoed(asked)]
    options = o.write_options(told, LEAST_ROOM - _HEADERS - _HEAD.size)
    denied = msgspec.structs.replace(asked, address=_NOWHERE)
    message = _message(denied, _NOWHERE, _NOWHERE, (b"", b""), options)
    return write_v4((_EVERYBODY, mac_bytes(guest.server_mac)), (_EVERYWHERE, server), message)


def _message(
    asked: Asked, yours: bytes, next_server: bytes, names: tuple[bytes, bytes], options: bytes
) -> bytes:
    fixed = (2, 1, 6, 0, asked.transaction, 0, asked.flags, asked.address, yours, next_server, _NOWHERE)
    message = _HEAD.pack(*fixed, asked.chaddr, *names, _COOKIE) + options
    return message + bytes(max(0, _SHORTEST - len(message)))


def _told(
    guest: Guest, given: Given, asked: Asked, kind: int, extra: dict[int, bytes]
) -> Iterator[tuple[int, bytes]]:
    """Say of which kind the message is, then what the client has asked for, in its order; all that there is
    where it does not ask."""
    yield o.KIND, bytes([kind])
    yield o.SERVER, _packed(given.server)
    if asked.kind != INFORM:
        lease = _lease_s(guest)
        yield o.LEASE, lease.to_bytes(4)
        yield o.RENEW_AFTER, extra.get(o.RENEW_AFTER) or (lease // 2).to_bytes(4)
        yield o.REBIND_AFTER, extra.get(o.REBIND_AFTER) or (lease * 7 // 8).to_bytes(4)
    yield from _echoed(asked)
    known = _known(guest, given) | extra
    for said in (o.LEASE, o.RENEW_AFTER, o.REBIND_AFTER, o.NEXT_SERVER):
        known.pop(said, None)
    wishes = asked.options.get(o.WISHES)
    for code in dict.fromkeys(wishes if wishes is not None else known):
        if known.get(code):
            yield code, known[code]


def _lease_s(guest: Guest) -> int:
    """For how long an address is given: an option of the port's own may say so."""
    return int.from_bytes(dict(guest.options).get(o.LEASE, b"")) or guest.lease_s


def _echoed(asked: Asked) -> Iterator[tuple[int, bytes]]:
    """Whom the client calls itself (RFC 6842)."""
    if o.CLIENT in asked.options:
        yield o.CLIENT, asked.options[o.CLIENT]


def _known(guest: Guest, given: Given) -> dict[int, bytes]:
    network = ipaddress.IPv4Network((given.address, given.prefix_length), strict=False)
    found = {o.MASK: network.netmask.packed}
    if given.routes:
        found[o.ROUTES] = found[o.ROUTES_OF_WINDOWS] = o.encode_routes(given.routes)
    if given.gateway:
        found[o.ROUTER] = _packed(given.gateway)
    if given.resolvers:
        found[o.RESOLVERS] = b"".join(map(_packed, given.resolvers))
    if guest.hostname:
        found[o.HOST_NAME] = guest.hostname.encode()
    if guest.domain:
        found[o.DOMAIN] = guest.domain.encode()
    found[o.MTU] = guest.mtu.to_bytes(2)
    found[o.BROADCAST] = network.broadcast_address.packed
    return found


def _field(value: bytes | None, size: int) -> bytes:
    """A text for a field of the header, if it fits with its end."""
    return value if value and len(value) < size else b""


def _packed(address: str) -> bytes:
    return ipaddress.IPv4Address(address).packed
