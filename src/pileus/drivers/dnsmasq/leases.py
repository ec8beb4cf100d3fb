"""dnsmasq's lease file, and giving a lease back in a client's name (RFC 2131)."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Sequence

import msgspec

from pileus.drivers.dnsmasq.spec import Lease
from pileus.drivers.namespace import socket_in

_SERVER_PORT = 67
_MAGIC = b"\x63\x82\x53\x63"
_RELEASE = b"\x35\x01\x07"


class Release(msgspec.Struct, frozen=True):
    """A lease to give back to the server at ``server``."""

    server: str
    lease: Lease


def parse_leases(text: str) -> list[Lease]:
    """The file's lines: ``expiry mac address name client-id``; after a line ``duid …`` those of IPv6,
    whose second word is an identity association and no MAC."""
    found = []
    version = 4
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["duid"]:
            version = 6
        if len(words) != 5 or not words[0].isdecimal():
            continue
        expires, hardware, address, name, client = words
        found.append(
            Lease(
                address=address,
                # A network other than Ethernet has its number in front of a dash.
                mac=hardware.rpartition("-")[2] if version == 4 else "",
                hostname=None if name == "*" else name,
                client_id="" if client == "*" else client,
                expires=int(expires),
            )
        )
    return found


def release_packet(release: Release) -> bytes:
    """A DHCPRELEASE as the lease's holder would send it."""
    hardware = bytes.fromhex(release.lease.mac.replace(":", ""))
    address = ipaddress.IPv4Address(release.lease.address).packed
    client = bytes.fromhex(release.lease.client_id.replace(":", ""))
    return b"".join(
        (
            struct.pack("!BBBBIHH", 1, 1, len(hardware), 0, 0, 0, 0),
            address,
            bytes(12),
            hardware.ljust(16, b"\0"),
            bytes(192),
            _MAGIC,
            _RELEASE,
            b"\x36\x04" + ipaddress.IPv4Address(release.server).packed,
            (b"\x3d" + bytes([len(client)]) + client) if client else b"",
            b"\xff",
        )
    )


def send_releases(namespace: str | None, interface: str, releases: Sequence[Release]) -> None:
    """Give leases back to a server that listens on ``interface``; blocks. Raises OSError."""
    with socket_in(namespace, socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
        for release in releases:
            sender.sendto(release_packet(release), (release.server, _SERVER_PORT))
