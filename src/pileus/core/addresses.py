"""IP addresses and prefixes as text: what is one, and the one form in which it is kept and compared.

The standard library reads more than a cloud may keep: IPv6 scope ids (``fe80::1%eth0``, with any
text behind the sign), netmasks instead of lengths, and IPv4-mapped IPv6, which Python versions write
differently and which is never an address of an interface (RFC 4291, 2.5.5.2). None of it passes here,
nor white space, control characters or leading zeros. Everything that takes an address from outside,
or compares one with what is stored, asks this module.
"""

from __future__ import annotations

import re
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Interface = IPv4Interface | IPv6Interface

_ADDRESS = re.compile(r"[0-9A-Fa-f:.]{2,45}")
_LENGTH = re.compile(r"0|[1-9][0-9]{0,2}")
_MAPPED = IPv6Network("::ffff:0:0/96")


class NotAnAddress(ValueError):
    """The text is no address (or prefix) in a form that is accepted."""


def parse_address(text: object) -> Address:
    """An address; NotAnAddress for everything else."""
    if not isinstance(text, str) or not _ADDRESS.fullmatch(text):
        raise NotAnAddress(text)
    try:
        found = ip_address(text)
    except ValueError:
        raise NotAnAddress(text) from None
    if found.version == 6 and found in _MAPPED:
        raise NotAnAddress(text)
    return found


def parse_prefix(text: object) -> Network:
    """A prefix, its host bits cleared; it needs a length. NotAnAddress for everything else."""
    return ip_network(_with_length(text), strict=False)


def parse_interface(text: object) -> Interface:
    """A prefix with its host bits as given; an address alone is one with the full length."""
    if isinstance(text, str) and "/" not in text:
        return ip_interface(parse_address(text))
    return ip_interface(_with_length(text))


def _with_length(text: object) -> str:
    if not isinstance(text, str):
        raise NotAnAddress(text)
    start, slash, length = text.partition("/")
    address = parse_address(start)
    if not slash or not _LENGTH.fullmatch(length) or int(length) > address.max_prefixlen:
        raise NotAnAddress(text)
    return f"{address}/{length}"


def address(text: object) -> str:
    """The normal form of an address (RFC 5952); NotAnAddress for what is none."""
    return str(parse_address(text))


def prefix(text: object) -> str:
    """The normal form of a prefix; NotAnAddress for what is none."""
    return str(parse_prefix(text))


def interface(text: object) -> str:
    """The normal form of a prefix that keeps its host bits; NotAnAddress for what is none."""
    return str(parse_interface(text))


def address_or_prefix(text: object) -> str:
    """An address stays one, a prefix keeps its host bits (address pairs); NotAnAddress for the rest."""
    return interface(text) if isinstance(text, str) and "/" in text else address(text)


def canonical(text: str) -> str | None:
    """The normal form of an address, or None where the text is none."""
    try:
        return address(text)
    except NotAnAddress:
        return None


def link_local(mac_address: str) -> str:
    """The IPv6 address that a MAC address gives itself (RFC 4291, appendix A)."""
    octets = bytearray.fromhex(mac_address.replace(":", ""))
    octets[0] ^= 2
    return str(IPv6Address(b"\xfe\x80" + bytes(6) + octets[:3] + b"\xff\xfe" + octets[3:]))
