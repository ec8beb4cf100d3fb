"""Options of DHCP on the wire: their codes by the names that ports' extra options use, and their values.

The names are dnsmasq's, as Neutron hands them through (RFC 2132 and those that followed, RFC 8415 for IPv6).
A value without a known form is read as dnsmasq reads it: addresses, a number, bytes with colons, else text.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from collections.abc import Iterable, Iterator

MASK, ROUTER, RESOLVERS, HOST_NAME, DOMAIN, MTU, BROADCAST = 1, 3, 6, 12, 15, 26, 28
REQUESTED, LEASE, KIND, SERVER, WISHES, LARGEST = 50, 51, 53, 54, 55, 57
RENEW_AFTER, REBIND_AFTER, CLIENT, BOOT_SERVER, BOOT_FILE = 58, 59, 61, 66, 67
ROUTES, ROUTES_OF_WINDOWS, NEXT_SERVER = 121, 249, 255
"""The last is no option on the wire: the header's field of the next server."""

_TEXT, _ADDRESSES, _BYTE, _SHORT, _LONG, _NAMES, _ROUTES, _GUESS = (
    *("text", "addresses", "byte", "short", "long", "names", "routes"),
    "guess",
)
_V4: dict[str, tuple[int, str]] = {
    "netmask": (1, _ADDRESSES),
    "time-offset": (2, _LONG),
    "router": (3, _ADDRESSES),
    "time-server": (4, _ADDRESSES),
    "dns-server": (6, _ADDRESSES),
    "log-server": (7, _ADDRESSES),
    "lpr-server": (9, _ADDRESSES),
    "hostname": (12, _TEXT),
    "boot-file-size": (13, _SHORT),
    "domain-name": (15, _TEXT),
    "swap-server": (16, _ADDRESSES),
    "root-path": (17, _TEXT),
    "extension-path": (18, _TEXT),
    "ip-forward-enable": (19, _BYTE),
    "non-local-source-routing": (20, _BYTE),
    "policy-filter": (21, _ADDRESSES),
    "max-datagram-reassembly": (22, _SHORT),
    "default-ttl": (23, _BYTE),
    "mtu": (26, _SHORT),
    "all-subnets-local": (27, _BYTE),
    "broadcast": (28, _ADDRESSES),
    "router-discovery": (31, _BYTE),
    "router-solicitation": (32, _ADDRESSES),
    "static-route": (33, _ADDRESSES),
    "trailer-encapsulation": (34, _BYTE),
    "arp-timeout": (35, _LONG),
    "ethernet-encap": (36, _BYTE),
    "tcp-ttl": (37, _BYTE),
    "tcp-keepalive": (38, _LONG),
    "nis-domain": (40, _TEXT),
    "nis-server": (41, _ADDRESSES),
    "ntp-server": (42, _ADDRESSES),
    "vendor-encap": (43, _GUESS),
    "netbios-ns": (44, _ADDRESSES),
    "netbios-dd": (45, _ADDRESSES),
    "netbios-nodetype": (46, _BYTE),
    "netbios-scope": (47, _TEXT),
    "x-windows-fs": (48, _ADDRESSES),
    "x-windows-dm": (49, _ADDRESSES),
    "lease-time": (51, _LONG),
    "t1": (58, _LONG),
    "t2": (59, _LONG),
    "vendor-class": (60, _TEXT),
    "nis+-domain": (64, _TEXT),
    "nis+-server": (65, _ADDRESSES),
    "tftp-server": (66, _TEXT),
    "tftp-server-name": (66, _TEXT),
    "bootfile-name": (67, _TEXT),
    "mobile-ip-home": (68, _ADDRESSES),
    "smtp-server": (69, _ADDRESSES),
    "pop3-server": (70, _ADDRESSES),
    "nntp-server": (71, _ADDRESSES),
    "irc-server": (74, _ADDRESSES),
    "user-class": (77, _TEXT),
    "client-arch": (93, _SHORT),
    "posix-timezone": (100, _TEXT),
    "tzdb-timezone": (101, _TEXT),
    "ipv6-only": (108, _LONG),
    "domain-search": (119, _NAMES),
    "classless-static-route": (121, _ROUTES),
    "tftp-server-address": (150, _ADDRESSES),
    "server-ip-address": (NEXT_SERVER, _ADDRESSES),
}
_V6: dict[str, tuple[int, str]] = {
    "sip-server-domain": (21, _NAMES),
    "sip-server": (22, _ADDRESSES),
    "dns-server": (23, _ADDRESSES),
    "domain-search": (24, _NAMES),
    "nis-server": (27, _ADDRESSES),
    "nis+-server": (28, _ADDRESSES),
    "nis-domain": (29, _NAMES),
    "nis+-domain": (30, _NAMES),
    "sntp-server": (31, _ADDRESSES),
    "information-refresh-time": (32, _LONG),
    "posix-timezone": (41, _TEXT),
    "tzdb-timezone": (42, _TEXT),
    "ntp-server": (56, _ADDRESSES),
    "bootfile-url": (59, _TEXT),
    "bootfile-param": (60, _TEXT),
}
_BY_CODE = {4: dict(_V4.values()), 6: dict(_V6.values())}
_OURS = {4: frozenset((0, 50, 52, 53, 54, 55, 57, 61, 82)), 6: frozenset((0, *range(1, 21)))}
"""Options that say what a message is, and whose: nobody else writes them."""
_BYTES = re.compile(r"[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2})+")
_SIZES = {_BYTE: "!B", _SHORT: "!H", _LONG: "!I"}
_NTP_ADDRESS = 1
_TIMES = (LEASE, RENEW_AFTER, REBIND_AFTER)


class NotAnOption(ValueError):
    """The name or the value can't be told to a client."""


def encode_option(name: str, value: str, version: int = 4) -> tuple[int, bytes]:
    """Code and value of an extra option; raises NotAnOption. Without a value: that it is not to be sent."""
    names = _V6 if version == 6 else _V4
    code, form = names.get(name.lower(), (0, _GUESS))
    if not code and name.isdecimal() and name.isascii():
        code = int(name[:6])
        form = _BY_CODE[version].get(code, _GUESS) if code != NEXT_SERVER else _GUESS
    last = 0xFFFF if version == 6 else 254
    if not code and not name.isdecimal():
        raise NotAnOption(f"the option {name!r} is not known")
    if code in _OURS[version] or (code > last and name.isdecimal()):
        raise NotAnOption(f"{name!r} is no option that a port can have")
    if not value:
        return code, b""
    try:
        data = _encode(form, value, version)
    except (ValueError, struct.error, OverflowError) as error:
        raise NotAnOption(f"the value of option {name!r} can't be told: {error}") from error
    if version == 4 and code in _TIMES and len(data) != 4:
        raise NotAnOption(f"the value of option {name!r} can't be told: it is one number of seconds")
    if version == 6 and code == _V6["ntp-server"][0]:
        data = b"".join(
            struct.pack("!HH", _NTP_ADDRESS, 16) + data[at : at + 16] for at in range(0, len(data), 16)
        )
    return code, data


def _encode(form: str, value: str, version: int) -> bytes:
    parts = [part.strip() for part in value.split(",")]
    if form == _ADDRESSES:
        return b"".join(_address(part, version) for part in parts)
    if form in _SIZES:
        return b"".join(struct.pack(_SIZES[form], int(part, 0)) for part in parts)
    if form == _NAMES:
        return encode_names(parts)
    if form == _ROUTES:
        return encode_routes(zip(parts[::2], parts[1::2], strict=True))
    if form == _GUESS:
        return _guessed(parts, value, version)
    return value.encode()


def _guessed(parts: list[str], value: str, version: int) -> bytes:
    try:
        return b"".join(_address(part, version) for part in parts)
    except ValueError:
        pass
    if all(part.isdecimal() and part.isascii() for part in parts) and max(map(len, parts)) < 11:
        return b"".join(_smallest(int(part)) for part in parts)
    if _BYTES.fullmatch(value):
        return bytes(int(part, 16) for part in value.split(":"))
    return value.encode()


def _smallest(number: int) -> bytes:
    return number.to_bytes(1 if number < 1 << 8 else 2 if number < 1 << 16 else 4)


def _address(text: str, version: int) -> bytes:
    if version == 6:
        return ipaddress.IPv6Address(text.strip("[]")).packed
    return ipaddress.IPv4Address(text).packed


def encode_names(names: Iterable[str]) -> bytes:
    """Names of domains (RFC 1035, 3.1), one after the other; raises ValueError."""
    found = b""
    for name in names:
        labels = [label.encode("ascii") for label in name.removesuffix(".").split(".")]
        if not all(0 < len(label) < 64 for label in labels):
            raise ValueError(f"{name!r} is no domain")
        found += b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return found


def encode_routes(routes: Iterable[tuple[str, str]]) -> bytes:
    """Destinations and next hops as classless static routes (RFC 3442); raises ValueError."""
    found = b""
    for destination, via in routes:
        network = ipaddress.IPv4Network(destination, strict=False)
        significant = network.network_address.packed[: (network.prefixlen + 7) // 8]
        found += bytes([network.prefixlen]) + significant + ipaddress.IPv4Address(via).packed
    return found


def read_options(data: bytes) -> dict[int, bytes] | None:
    """The options of a DHCPv4 message by their code; several parts of one are joined (RFC 3396). None: the
    message is cut off."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        code = data[at]
        if code == 255:
            return found
        if code == 0:
            at += 1
            continue
        if at + 1 >= len(data) or at + 2 + data[at + 1] > len(data):
            return None
        found[code] = found.get(code, b"") + data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1]
    return found


def write_options(options: Iterable[tuple[int, bytes]], room: int) -> bytes:
    """Options for the wire, with their end; those that do not fit into ``room`` bytes are left out."""
    return b"".join(encoded for _, encoded in _fitting(options, room) if encoded is not None) + b"\xff"


def left_out(options: Iterable[tuple[int, bytes]], room: int) -> list[int]:
    """The codes of options that do not fit."""
    return [code for code, encoded in _fitting(options, room) if encoded is None]


def _fitting(options: Iterable[tuple[int, bytes]], room: int) -> Iterator[tuple[int, bytes | None]]:
    for code, value in options:
        parts = [value[at : at + 255] for at in range(0, len(value), 255)] or [b""]
        encoded = b"".join(bytes([code, len(part)]) + part for part in parts)
        if len(encoded) < room:
            room -= len(encoded)
            yield code, encoded
        else:
            yield code, None


def option_name(code: int, version: int) -> str:
    """The name of an option that extra options use, or its number."""
    names = _V6 if version == 6 else _V4
    return next((name for name, (number, _) in names.items() if number == code), str(code))
