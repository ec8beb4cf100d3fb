"""DHCP for IPv6 (RFC 8415): which answer a guest's question gets. Pure.

A guest has the addresses of its port and no others, so nothing is chosen and nothing remembered: they all go
to the first association that asks for addresses, unless another one names them as its own.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from pileus.host.l2.dhcp.answer import ENDED, RENEWED, STARTED, Answer
from pileus.host.l2.dhcp.frames import Question, mac_bytes, write_v6
from pileus.host.l2.dhcp.guests import Guest, server_link_local
from pileus.host.l2.dhcp.options import encode_names

SOLICIT, ADVERTISE, REQUEST, CONFIRM, RENEW, REBIND, REPLY, RELEASE, DECLINE = range(1, 10)
INFORMATION_REQUEST = 11
CLIENT, SERVER, ADDRESSES, TEMPORARY, ADDRESS, WISHES, PREFERENCE = range(1, 8)
STATUS, RAPID, RESOLVERS, DOMAINS, PREFIXES, REFRESH, NAME = 13, 14, 23, 24, 25, 32, 39
SUCCESS, NO_ADDRESSES, NO_BINDING, NOT_ON_LINK, NO_PREFIX = 0, 2, 3, 4, 6

LONGEST = 1200
"""Bytes of a message that pass each link of IPv6."""
_TO_ONE = frozenset((REQUEST, RENEW, RELEASE, DECLINE))
"""Messages that name the server which they are for."""
_TO_ALL = frozenset((SOLICIT, CONFIRM, REBIND))
_ASSOCIATIONS = frozenset((ADDRESSES, TEMPORARY, PREFIXES))
_LONG_NAME = 130
"""Bytes of the longest identifier that a client may have."""
_WITHOUT_TIMES = 4
_WITH_TIMES = 12
_AT_ONCE = b"\xff"
"""The preference of a server for whose rivals nobody waits."""
_UPDATES_NO_NAMES, _OVERRIDDEN, _ASKED_TO = 4, 2, 1
_DUID_LL, _OPTION = struct.Struct("!HH6s"), struct.Struct("!HH")
_TIMES = struct.Struct("!4sII")
_LEASE = struct.Struct("!16sII")

Options = Sequence[tuple[int, bytes]]


class Association(msgspec.Struct, frozen=True):
    """The addresses that a client holds, or would like to, under an identifier."""

    kind: int
    identifier: bytes
    addresses: tuple[str, ...]


class Asked(msgspec.Struct, frozen=True):
    """A client's message; of an option that comes several times the last one counts, but of associations."""

    kind: int
    transaction: bytes
    options: dict[int, bytes]
    associations: tuple[Association, ...]

    @property
    def wishes(self) -> list[int] | None:
        """The options that the client would like to be told; None: it does not say."""
        data = self.options.get(WISHES)
        if data is None:
            return None
        return [int.from_bytes(data[at : at + 2]) for at in range(0, len(data), 2)]


def read(payload: bytes) -> Asked | None:
    """A client's message; None: it is none, or a part is cut off."""
    options = read_options(payload[4:]) if len(payload) >= 4 else None
    if options is None:
        return None
    associations = []
    for code, value in options:
        if code in _ASSOCIATIONS:
            found = _association(code, value)
            if found is None:
                return None
            associations.append(found)
    return Asked(payload[0], payload[1:4], dict(options), tuple(associations))


def _association(code: int, value: bytes) -> Association | None:
    size = _WITHOUT_TIMES if code == TEMPORARY else _WITH_TIMES
    inner = read_options(value[size:]) if len(value) >= size else None
    if inner is None or any(kind == ADDRESS and len(data) < _LEASE.size for kind, data in inner):
        return None
    addresses = (str(ipaddress.IPv6Address(data[:16])) for kind, data in inner if kind == ADDRESS)
    return Association(code, value[:4], tuple(dict.fromkeys(addresses)))


def answer(guest: Guest, question: Question) -> Answer | None:
    """Answer a datagram of a guest's; None: it is nothing that an answer is due to."""
    source = ipaddress.IPv6Address(question.source)
    asked = read(question.payload)
    if asked is None or not guest.asks_v6 or question.mac != mac_bytes(guest.mac_address):
        return None
    if source.is_unspecified or source.is_multicast or not _is_for_us(guest, asked):
        return None
    found = _said(guest, asked)
    if found is None:
        return None
    kind, said, leases = found
    message = _message(guest, asked, kind, said)
    macs = question.mac, mac_bytes(guest.server_mac)
    frame = write_v6(macs, (str(source), server_link_local(guest)), message)
    return Answer(frame, leases, guest.lease_s)


def _is_for_us(guest: Guest, asked: Asked) -> bool:
    """Whether the message is one that this server may answer (RFC 8415, 16)."""
    server = asked.options.get(SERVER)
    if asked.kind == INFORMATION_REQUEST:
        return server in (None, server_id(guest)) and not asked.associations
    if not asked.options.get(CLIENT):
        return False
    return server == server_id(guest) if asked.kind in _TO_ONE else asked.kind in _TO_ALL and server is None


Said = tuple[int, Options, tuple[tuple[str, str], ...]]


def _said(guest: Guest, asked: Asked) -> Said | None:
    """Find the kind of the answer, what it says besides the options, and what became of leases."""
    match asked.kind:
        case 1 if RAPID in asked.options:  # SOLICIT
            said, leases = _assigned(guest, asked, STARTED)
            return REPLY, [(RAPID, b""), *said], leases
        case 1:
            return ADVERTISE, [(PREFERENCE, _AT_ONCE), *_assigned(guest, asked, STARTED)[0]], ()
        case 3:  # REQUEST
            return REPLY, *_assigned(guest, asked, STARTED)
        case 4:  # CONFIRM
            named = {address for one in asked.associations for address in one.addresses}
            if not named:
                return None
            return REPLY, [_status(SUCCESS if named <= set(guest.given_v6) else NOT_ON_LINK)], ()
        case 5 | 6:  # RENEW, REBIND
            return REPLY, *_assigned(guest, asked, RENEWED)
        case 8 | 9:  # RELEASE, DECLINE
            return _given_up(guest, asked)
    return REPLY, [], ()


def _assigned(
    guest: Guest, asked: Asked, how: str
) -> tuple[list[tuple[int, bytes]], tuple[tuple[str, str], ...]]:
    """Find what each association is given, and what became of leases by that."""
    found: list[tuple[int, bytes]] = []
    leases: list[tuple[str, str]] = []
    free = [one for one in guest.given_v6 if one not in _claimed(asked)]
    given: set[str] = set()
    for one in asked.associations:
        if one.kind != ADDRESSES:
            nothing = NO_PREFIX if one.kind == PREFIXES else NO_ADDRESSES
            found.append(_without(one, NO_BINDING if how == RENEWED else nothing))
            continue
        if asked.kind == REQUEST and not all(_is_near(guest, address) for address in one.addresses):
            found.append(_without(one, NOT_ON_LINK))
            continue
        mine = [address for address in (*one.addresses, *free) if address in guest.given_v6]
        mine = [address for address in mine if address not in given]
        free = []
        given.update(mine)
        others = [address for address in one.addresses if address not in mine] if how == RENEWED else []
        if not mine and not others:
            found.append(_without(one, NO_BINDING if how == RENEWED else NO_ADDRESSES))
            continue
        lease = guest.lease_s if mine else 0
        held = [(address, guest.lease_s) for address in mine] + [(address, 0) for address in others]
        found.append((ADDRESSES, _TIMES.pack(one.identifier, lease // 2, lease * 7 // 8) + _told(held)))
        leases += [(address, how) for address in mine]
    return found, tuple(leases)


def _claimed(asked: Asked) -> set[str]:
    return {address for one in asked.associations if one.kind == ADDRESSES for address in one.addresses}


def _is_near(guest: Guest, address: str) -> bool:
    """Whether an address is of a subnet that the guest is given addresses of."""
    parsed = ipaddress.IPv6Address(address)
    return any(parsed in ipaddress.IPv6Network(prefix) for prefix in guest.prefixes_v6)


def _told(held: Sequence[tuple[str, int]]) -> bytes:
    """Addresses with the seconds for which they are preferred and valid."""
    return b"".join(
        _OPTION.pack(ADDRESS, _LEASE.size) + _LEASE.pack(ipaddress.IPv6Address(address).packed, left, left)
        for address, left in held
    )


def _given_up(guest: Guest, asked: Asked) -> Said:
    said: list[tuple[int, bytes]] = [_status(SUCCESS)]
    ended: list[str] = []
    for one in asked.associations:
        mine = [address for address in one.addresses if address in guest.given_v6]
        if one.kind != ADDRESSES or not mine:
            said.append(_without(one, NO_BINDING))
        else:
            ended += mine
    return REPLY, said, tuple((address, ENDED) for address in dict.fromkeys(ended))


def _without(one: Association, code: int) -> tuple[int, bytes]:
    """An association for which there is nothing, with the reason."""
    option, value = _status(code)
    times = b"" if one.kind == TEMPORARY else bytes(8)
    return one.kind, one.identifier + times + _OPTION.pack(option, len(value)) + value


def _status(code: int) -> tuple[int, bytes]:
    return STATUS, code.to_bytes(2)


# -- the message


def server_id(guest: Guest) -> bytes:
    """The server's identifier: that of its hardware address."""
    return _DUID_LL.pack(3, 1, mac_bytes(guest.server_mac))


def _message(guest: Guest, asked: Asked, kind: int, said: Options) -> bytes:
    told: list[tuple[int, bytes]] = [(SERVER, server_id(guest))]
    if CLIENT in asked.options:
        told.insert(0, (CLIENT, asked.options[CLIENT]))
    told += said
    if asked.kind not in (CONFIRM, RELEASE, DECLINE):
        told += _wished(guest, asked)
    return bytes([kind]) + asked.transaction + write_options(told, LONGEST - 4)


def _wished(guest: Guest, asked: Asked) -> Iterator[tuple[int, bytes]]:
    """The options that the client asks for, in its order; all that there are where it does not say."""
    known = dict(known_options(guest))
    if asked.kind == INFORMATION_REQUEST:
        known.setdefault(REFRESH, guest.lease_s.to_bytes(4))
    else:
        known.pop(REFRESH, None)  # it goes with information alone
    wishes = asked.wishes
    codes = list(known) if wishes is None else [*wishes, REFRESH]
    for code in dict.fromkeys(codes):
        if known.get(code):
            yield code, known[code]
    asked_name = asked.options.get(NAME)
    if guest.hostname and NAME not in known and (asked_name is not None or NAME in (wishes or ())):
        flags = _UPDATES_NO_NAMES
        if asked_name and asked_name[0] & _ASKED_TO:
            flags |= _OVERRIDDEN
        full = f"{guest.hostname}.{guest.domain}" if guest.domain else guest.hostname
        yield NAME, bytes([flags]) + encode_names([full])


def known_options(guest: Guest) -> Mapping[int, bytes]:
    """All that a guest can be told besides addresses and its name."""
    found: dict[int, bytes] = {}
    if guest.resolvers_v6:
        found[RESOLVERS] = b"".join(ipaddress.IPv6Address(one).packed for one in guest.resolvers_v6)
    if guest.domain:
        found[DOMAINS] = encode_names([guest.domain])
    return found | dict(guest.options_v6)


def read_options(data: bytes) -> list[tuple[int, bytes]] | None:
    """The options of a message, in its order; None: it is cut off."""
    found = []
    at = 0
    while at < len(data):
        if at + _OPTION.size > len(data):
            return None
        code, length = _OPTION.unpack_from(data, at)
        at += _OPTION.size
        if at + length > len(data):
            return None
        found.append((code, data[at : at + length]))
        at += length
    return found


def write_options(options: Options, room: int) -> bytes:
    """Options for the wire; those that do not fit into ``room`` bytes are left out."""
    found = b""
    for code, value in options:
        if len(found) + _OPTION.size + len(value) <= room:
            found += _OPTION.pack(code, len(value)) + value
    return found


def left_out(guest: Guest) -> set[int]:
    """The options that do not fit into the answer to a client that asks for all that there is."""
    mine = Association(ADDRESSES, bytes(4), guest.given_v6)
    asked = Asked(REQUEST, b"xid", {CLIENT: bytes(_LONG_NAME), NAME: b"\0"}, (mine,))
    told = read_options(_message(guest, asked, REPLY, _assigned(guest, asked, STARTED)[0])[4:]) or []
    return known_options(guest).keys() - {REFRESH} - {code for code, _ in told}
