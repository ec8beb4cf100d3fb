"""Router advertisements (RFC 4861, RFC 8106): the values, their octets, and what a driver of them can do.

dnsmasq could send them, but not without serving DHCPv6 beside, and radvd is a process for each router; a
packet every few minutes is neither's worth. What guests learn lasts longer than a restart of ours takes.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Collection
from typing import Protocol

import msgspec

ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT = 133, 134
LIFETIME_S = 1800
"""How long guests keep the router as their way out (AdvDefaultLifetime)."""
_HOP_LIMIT = 64
_MANAGED, _OTHER = 0x80, 0x40
_ON_LINK, _AUTONOMOUS = 0x80, 0x40
VALID_S = 86400
"""How long guests keep addresses of a prefix (AdvValidLifetime)."""
_PREFERRED_S = 14400
_SOURCE_LINK_ADDRESS, _PREFIX, _MTU, _RESOLVERS = 1, 3, 5, 25


class Prefix(msgspec.Struct, frozen=True):
    """A prefix of the link. ``autonomous``: guests make their own addresses from it."""

    cidr: str
    autonomous: bool


class Advertisement(msgspec.Struct, frozen=True, kw_only=True):
    """The router advertisement of one interface (RFC 4861). ``managed``: addresses are given by DHCPv6;
    ``other``: other things are."""

    namespace: str
    interface: str
    mac: str
    mtu: int
    prefixes: tuple[Prefix, ...] = ()
    managed: bool = False
    other: bool = False
    resolvers: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """The interface's own address of the link, made of its MAC (RFC 4291, appendix A)."""
        octets = bytearray.fromhex(self.mac.replace(":", ""))
        octets[0] ^= 2
        return str(ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + octets[:3] + b"\xff\xfe" + octets[3:]))


class Advertisers(Protocol):
    """``linux.LinuxAdvertisers`` sends, ``simulated.SimulatedAdvertisers`` remembers."""

    async def advertise(self, wanted: Collection[Advertisement]) -> None:
        """These are all that is to be advertised from now on; what no longer is, is taken back."""
        ...

    def close(self) -> None:
        """Send no more; guests are told nothing."""
        ...


def message(advertisement: Advertisement, *, lifetime_s: int = LIFETIME_S) -> bytes:
    """The ICMPv6 message without its checksum. A lifetime of 0 takes the router back as a way out."""
    flags = _MANAGED * advertisement.managed | _OTHER * advertisement.other
    parts = [
        struct.pack("!BBHBBHII", ROUTER_ADVERTISEMENT, 0, 0, _HOP_LIMIT, flags, lifetime_s, 0, 0),
        struct.pack("!BB", _SOURCE_LINK_ADDRESS, 1) + bytes.fromhex(advertisement.mac.replace(":", "")),
        struct.pack("!BBHI", _MTU, 1, 0, advertisement.mtu),
    ]
    for prefix in advertisement.prefixes:
        network = ipaddress.IPv6Network(prefix.cidr)
        bits = _ON_LINK | _AUTONOMOUS * prefix.autonomous
        head = struct.pack("!BBBBIII", _PREFIX, 4, network.prefixlen, bits, VALID_S, _PREFERRED_S, 0)
        parts.append(head + network.network_address.packed)
    if advertisement.resolvers:
        length = 1 + 2 * len(advertisement.resolvers)
        parts.append(struct.pack("!BBHI", _RESOLVERS, length, 0, lifetime_s))
        parts += [ipaddress.IPv6Address(resolver).packed for resolver in advertisement.resolvers]
    return b"".join(parts)
