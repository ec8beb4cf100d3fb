"""The frames that a device gets, counted by what they are: run by a bare Python inside of a namespace.

sniffer.py DEVICE    until told to stop by SIGTERM; then prints {"what it is": how many}. A UDP datagram is
"udp TAG SOURCE>ADDRESS:PORT", an echo "icmp TAG SOURCE>ADDRESS", a question of IPv6 "echo6 ADDRESS"; what a
tunnel carries stands behind it: "gre KEY ..." or "erspan SESSION ...".
"""

import json
import signal
import socket
import struct
import sys
from collections import Counter

SOL_PACKET, PACKET_AUXDATA, VLAN_VALID, OUTGOING = 263, 8, 1 << 4, 4


def described(frame: bytes, tag: int) -> str:
    kind, data = frame[12:14], frame[14:]
    if kind == b"\x81\x00":
        return described(frame[:12] + frame[16:], int.from_bytes(frame[14:16]) & 0xFFF)
    if kind == b"\x86\xdd" and (data[6], data[40]) == (58, 128):
        return f"echo6 {socket.inet_ntop(socket.AF_INET6, data[24:40])}"
    if kind != b"\x08\x00":
        return {b"\x08\x06": "arp", b"\x86\xdd": "ipv6"}.get(kind, kind.hex())
    source, target = socket.inet_ntoa(data[12:16]), socket.inet_ntoa(data[16:20])
    body = data[(data[0] & 15) * 4 :]
    match data[9]:
        case 1:
            return f"icmp {tag} {source}>{target}"
        case 17:
            return f"udp {tag} {source}>{target}:{int.from_bytes(body[2:4])}"
        case 47:
            return tunnelled(body)
    return f"ip {data[9]}"


def tunnelled(body: bytes) -> str:
    flags, kind = struct.unpack_from("!HH", body)
    place = 4 + (4 if flags & 0x8000 else 0)
    key = 0
    if flags & 0x2000:
        key = int.from_bytes(body[place : place + 4])
        place += 4
    place += 4 if flags & 0x1000 else 0
    if kind == 0x88BE:
        session = int.from_bytes(body[place + 2 : place + 4]) & 0x3FF
        return f"erspan {session} {described(body[place + 8 :], 0)}"
    return f"gre {key} {described(body[place:], 0)}"


def main(device: str) -> None:
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    wire.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    wire.bind((device, 0))
    found: Counter[str] = Counter()

    def report(*_: object) -> None:
        print(json.dumps(found), flush=True)
        sys.exit(0)

    signal.signal(signal.SIGTERM, report)
    print("ready", flush=True)
    while True:
        frame, extra, _, where = wire.recvmsg(2048, 64)
        if where[2] == OUTGOING:
            continue
        tag = 0
        for level, kind, data in extra:
            if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
                status, _, _, _, _, tci, _ = struct.unpack("IIIHHHH", data)
                tag = tci & 0xFFF if status & VLAN_VALID else 0
        found[described(frame, tag)] += 1


main(sys.argv[1])
