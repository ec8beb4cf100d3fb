"""A DHCP client of few words for tests: it asks once over a raw socket, as its MAC, in a namespace.

    python dhcp_client.py INTERFACE MAC [flood]

Prints what it was told as JSON, or ``null`` when nobody answered in time. (RFC 2131, 2132.)
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import time
from typing import Any

_WITHIN_S = 2.0
_EVERY_S = 0.4
MAGIC = b"\x63\x82\x53\x63"


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return int(~total & 0xFFFF)


def frame(mac: bytes, transaction: int, options: bytes) -> bytes:
    """A broadcast from 0.0.0.0."""
    body = struct.pack("!BBBBIHH", 1, 1, 6, 0, transaction, 0, 0x8000) + bytes(16) + mac.ljust(16, b"\0")
    body += bytes(192) + MAGIC + options + b"\xff"
    udp = struct.pack("!HHHH", 68, 67, 8 + len(body), 0) + body
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, bytes(4), b"\xff" * 4)
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return b"\xff" * 6 + mac + b"\x08\x00" + head + udp


def parse(packet: bytes, transaction: int) -> dict[int, bytes] | None:
    """A reply's options, with the address as 0; None for other packets."""
    if packet[12:14] != b"\x08\x00" or packet[23] != 17 or packet[36:38] != b"\x00\x44":
        return None
    body = packet[42:]
    if body[0] != 2 or struct.unpack("!I", body[4:8])[0] != transaction:
        return None
    found, rest = {0: body[16:20]}, body[240:]
    while rest and rest[0] != 255:
        if rest[0] == 0:
            rest = rest[1:]
            continue
        found[rest[0]] = found.get(rest[0], b"") + rest[2 : 2 + rest[1]]
        rest = rest[2 + rest[1] :]
    return found


def exchange(
    link: socket.socket, mac: bytes, options: bytes, answers: tuple[int, ...]
) -> dict[int, bytes] | None:
    transaction = int.from_bytes(os.urandom(4), "big")
    deadline = time.monotonic() + _WITHIN_S
    while time.monotonic() < deadline:
        link.send(frame(mac, transaction, options + b"\x37\x07\x01\x03\x06\x0c\x0f\x1a\x79"))
        until = time.monotonic() + _EVERY_S
        while (left := until - time.monotonic()) > 0:
            link.settimeout(left)
            try:
                reply = parse(link.recv(2000), transaction)
            except TimeoutError:
                break
            if reply is not None and reply.get(53, b"\0")[0] in answers:
                return reply
    return None


def ip(data: bytes) -> str:
    return socket.inet_ntoa(data[:4])


def routes(data: bytes) -> list[str]:
    found = []
    while data:
        length, octets = data[0], (data[0] + 7) // 8
        destination = data[1 : 1 + octets].ljust(4, b"\0")
        found.append(f"{ip(destination)}/{length},{ip(data[1 + octets :])}")
        data = data[5 + octets :]
    return found


def lease(interface: str, mac: bytes) -> dict[str, Any] | None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as link:
        link.bind((interface, 0))
        offer = exchange(link, mac, b"\x35\x01\x01", (2,))
        if offer is None:
            return None
        ask = b"\x35\x01\x03\x32\x04" + offer[0] + b"\x36\x04" + offer[54]
        told = exchange(link, mac, ask, (5, 6))
        if told is None or told[53][0] == 6:
            return None
    return {
        "address": ip(told[0]),
        "server": ip(told[54]),
        "lease_s": struct.unpack("!I", told[51])[0],
        "hostname": told[12].decode() if 12 in told else None,
        "domain": told[15].decode() if 15 in told else None,
        "router": ip(told[3]) if 3 in told else None,
        "resolvers": [ip(told[6][i : i + 4]) for i in range(0, len(told.get(6, b"")), 4)],
        "mtu": struct.unpack("!H", told[26])[0] if 26 in told else None,
        "routes": routes(told.get(121, b"")),
    }


def flood(interface: str, mac: bytes) -> None:
    """Ask some thousand times a second, until killed."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as link:
        link.bind((interface, 0))
        while True:
            for _ in range(20):
                link.send(frame(mac, 1, b"\x35\x01\x01"))
            time.sleep(0.01)


if __name__ == "__main__" and sys.argv[3:] == ["flood"]:
    flood(sys.argv[1], bytes.fromhex(sys.argv[2].replace(":", "")))
elif __name__ == "__main__":
    print(json.dumps(lease(sys.argv[1], bytes.fromhex(sys.argv[2].replace(":", "")))))
