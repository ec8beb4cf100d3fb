"""Frames that a guest has no right to send, and who gets them: run by a bare Python inside of a namespace.

forger.py say DEVICE OWN VICTIM VICTIM6   sends one of each kind, to everybody, and an honest one ("own")
forger.py listen DEVICE OWN VICTIM VICTIM6   until told to stop by SIGTERM; then prints the kinds that came
"""

import json
import signal
import socket
import struct
import sys
import time

ALL, ALL6 = b"\xff" * 6, b"\x33\x33\0\0\0\1"
OTHER_MAC, OTHER_IP, PORT = bytes.fromhex("fa163e666666"), "10.0.0.166", 5100
EVERYBODY6 = socket.inet_pton(socket.AF_INET6, "ff02::1")


def checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


def udp(mac: bytes, source: str, sport: int, dport: int, target: str = "10.0.0.255") -> bytes:
    data = struct.pack("!HHHH", sport, dport, 8 + 40, 0) + b"x" * 40
    head = struct.pack("!BBHHHBBH", 69, 0, 20 + len(data), 1, 0, 64, 17, 0)
    head += socket.inet_aton(source) + socket.inet_aton(target)
    return ALL + mac + b"\x08\x00" + head[:10] + struct.pack("!H", checksum(head)) + head[12:] + data


def ipv6(mac: bytes, source: bytes, kind: int, body: bytes) -> bytes:
    """A packet to everybody; its checksum is the two octets at ``body``'s place for that."""
    place = 2 if kind == 58 else 6
    pseudo = source + EVERYBODY6 + struct.pack("!II", len(body), kind)
    body = body[:place] + struct.pack("!H", checksum(pseudo + body)) + body[place + 2 :]
    head = struct.pack("!IHBB", 6 << 28, len(body), kind, 255) + source + EVERYBODY6
    return ALL6 + mac + b"\x86\xdd" + head + body


def frames(mac: bytes, own: str, victim: str, victim6: str) -> dict[str, bytes]:
    link = b"\xfe\x80" + bytes(6) + bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:]
    target = socket.inet_pton(socket.AF_INET6, victim6)
    answer = struct.pack("!HHBBH", 1, 0x800, 6, 4, 2) + mac + socket.inet_aton(victim)
    prefix = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 3600, 3600, 0)
    prefix += socket.inet_pton(socket.AF_INET6, "2001:db8:bad::")
    return {
        "own": udp(mac, own, PORT, PORT),
        "mac": udp(OTHER_MAC, own, PORT + 1, PORT),
        "ip": udp(mac, OTHER_IP, PORT, PORT),
        "arp": ALL + mac + b"\x08\x06" + (answer + mac + socket.inet_aton(own)).ljust(46, b"\0"),
        "na": ipv6(mac, link, 58, struct.pack("!BBHI", 136, 0, 0, 0x20000000) + target + b"\2\1" + mac),
        "ra": ipv6(mac, link, 58, struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + prefix),
        "dhcp": udp(mac, own, 67, 68, "255.255.255.255"),
        "dhcp6": ipv6(mac, link, 17, struct.pack("!HHHH", 547, 546, 16, 0) + b"\2abcdefg"),
    }


def say(device: str, own: str, victim: str, victim6: str) -> None:
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    wire.bind((device, 0))
    for _ in range(3):
        for frame in frames(wire.getsockname()[4], own, victim, victim6).values():
            wire.send(frame)
        time.sleep(0.1)


def kind_of(frame: bytes, own: str, victim: str, victim6: str) -> str:
    """What a frame is of these; empty for any other."""
    kind, data = frame[12:14], frame[14:]
    if kind == b"\x08\x06":
        return "arp" if (data[6:8], data[14:18]) == (b"\0\2", socket.inet_aton(victim)) else ""
    if kind == b"\x86\xdd":
        if data[6] == 58 and data[40] == 134:
            return "ra"
        if data[6] == 58 and data[40] == 136:
            return "na" if data[48:64] == socket.inet_pton(socket.AF_INET6, victim6) else ""
        return "dhcp6" if data[6] == 17 and data[40:42] == struct.pack("!H", 547) else ""
    if kind != b"\x08\x00" or data[9] != 17:
        return ""
    source, ports = socket.inet_ntoa(data[12:16]), struct.unpack("!HH", data[20:24])
    if ports[1] == 68:
        return "dhcp"
    if ports[1] != PORT or source not in (own, OTHER_IP):
        return ""
    return "ip" if source == OTHER_IP else "mac" if frame[6:12] == OTHER_MAC else "own"


def listen(device: str, *who: str) -> None:
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    wire.bind((device, 0))
    found: set[str] = set()

    def report(*_: object) -> None:
        print(json.dumps(sorted(found)), flush=True)
        sys.exit(0)

    signal.signal(signal.SIGTERM, report)
    print("ready", flush=True)
    while True:
        frame, where = wire.recvfrom(2048)
        if where[2] != 4 and (kind := kind_of(frame, *who)):
            found.add(kind)


if __name__ == "__main__":
    verb, *rest = sys.argv[1:]
    if verb == "say":
        say(*rest)
    else:
        listen(*rest)
