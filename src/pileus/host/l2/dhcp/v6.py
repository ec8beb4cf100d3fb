"""DHCP for IPv6 without a state (RFC 8415, 18.3.6): a guest that has its address is told options. Pure."""

from __future__ import annotations

import ipaddress
import struct

from pileus.host.l2.dhcp.frames import Question, mac_bytes, write_v6
from pileus.host.l2.dhcp.guests import Guest, server_link_local
from pileus.host.l2.dhcp.options import encode_names

_REPLY, _INFORMATION_REQUEST = 7, 11
_CLIENT, _SERVER, _WISHES, _RESOLVERS, _DOMAINS, _REFRESH = 1, 2, 6, 23, 24, 32
_DUID_LL = struct.Struct("!HH6s")
_OPTION = struct.Struct("!HH")
_LONGEST = 1200


def answer(guest: Guest, question: Question) -> bytes | None:
    """The reply to a guest that asks for information; None to all else."""
    payload = question.payload
    source = ipaddress.IPv6Address(question.source)
    if len(payload) < 4 or payload[0] != _INFORMATION_REQUEST or not guest.stateless:
        return None
    if question.mac != mac_bytes(guest.mac_address) or source.is_unspecified or source.is_multicast:
        return None
    options = _read(payload[4:])
    own = _DUID_LL.pack(3, 1, mac_bytes(guest.server_mac))
    if options is None or options.get(_SERVER, own) != own:
        return None
    told = [(_SERVER, own)]
    if _CLIENT in options:
        told.insert(0, (_CLIENT, options[_CLIENT]))
    known = _known(guest)
    wishes = options.get(_WISHES)
    codes = list(known)
    if wishes is not None:
        asked = [int.from_bytes(wishes[at : at + 2]) for at in range(0, len(wishes), 2)]
        codes = [code for code in dict.fromkeys((*asked, _REFRESH)) if code in known]
    told += [(code, known[code]) for code in codes if known[code]]
    message = bytes([_REPLY]) + payload[1:4]
    for code, value in told:
        if len(message) + _OPTION.size + len(value) <= _LONGEST:
            message += _OPTION.pack(code, len(value)) + value
    macs = question.mac, mac_bytes(guest.server_mac)
    return write_v6(macs, (str(source), server_link_local(guest)), message)


def _known(guest: Guest) -> dict[int, bytes]:
    found = {_REFRESH: guest.lease_s.to_bytes(4)}
    if guest.resolvers_v6:
        found[_RESOLVERS] = b"".join(ipaddress.IPv6Address(one).packed for one in guest.resolvers_v6)
    if guest.domain:
        found[_DOMAINS] = encode_names([guest.domain])
    return found | dict(guest.options_v6)


def _read(data: bytes) -> dict[int, bytes] | None:
    """The options of a message; None: it is cut off."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        if at + _OPTION.size > len(data):
            return None
        code, length = _OPTION.unpack_from(data, at)
        at += _OPTION.size
        if at + length > len(data):
            return None
        found[code] = data[at : at + length]
        at += length
    return found
