"""UDP packets with numbers on them, counted: run by a bare Python inside of a guest's namespace.

traffic.py receive PORT [SKIP]   until told to stop by SIGTERM; then prints what came after SKIP seconds
traffic.py send ADDRESS PORT RATE SECONDS [SIZE]   prints how many were sent
traffic.py frames DEVICE MAC ADDRESS PORT   twenty datagrams in frames to that MAC, whoever has the address
traffic.py tagged-ping DEVICE VLAN OWN ADDRESS [MAC]   an echo request in a frame with that tag (0: none);
    prints the tag of the reply, or "silence"
traffic.py tagged-answer DEVICE VLAN OWN   answers ARP and echo requests with that tag until told to stop
traffic.py senders DEVICE               whom echo requests came from, by hardware address, until SIGTERM
traffic.py solicit DEVICE ADDRESS       asks for an IPv6 neighbour without telling who asks
traffic.py serve PORT                   a TCP server that echoes; traffic.py talk ADDRESS PORT
"""

import contextlib
import json
import signal
import socket
import struct
import sys
import time


def receive(port: int, skip: float = 0.0) -> None:
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    listener.bind(("0.0.0.0", port))
    seen: set[int] = set()
    octets, first, last, began = 0, 0.0, 0.0, 0.0

    def report(*_: object) -> None:
        gaps = sorted(set(range(min(seen), max(seen) + 1)) - seen)[:20] if seen else []
        print(json.dumps({"packets": len(seen), "octets": octets, "seconds": last - first, "gaps": gaps}))
        sys.stdout.flush()
        sys.exit(0)

    signal.signal(signal.SIGTERM, report)
    print("ready", flush=True)
    while True:
        data = listener.recv(2048)
        now = time.monotonic()
        began = began or now
        if now - began < skip:
            continue
        last = now
        first = first or last
        seen.add(struct.unpack_from("!I", data)[0])
        octets += len(data) + 42  # as the wire counts: with Ethernet, IP and UDP


def send(address: str, port: int, rate: float, seconds: float, size: int = 64) -> None:
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    start = time.monotonic()
    number = 0

    def report(*_: object) -> None:
        print(number, flush=True)
        sys.exit(0)

    signal.signal(signal.SIGTERM, report)
    while (now := time.monotonic()) - start < seconds:
        due = int((now - start) * rate)
        while number < due:
            sender.sendto(struct.pack("!I", number).ljust(size, b"x"), (address, port))
            number += 1
        time.sleep(0.0005)
    print(number)


def frames(device: str, mac: str, address: str, port: int) -> None:
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sender.bind((device, 0))
    own = sender.getsockname()[4]
    for number in range(20):
        data = struct.pack("!I", number).ljust(64, b"x")
        # From a neighbour of the address, so that no check of the way back is in its way.
        source = socket.inet_aton(address.rpartition(".")[0] + ".77")
        udp = struct.pack("!HHHH", port, port, 8 + len(data), 0) + data
        head = struct.pack(
            "!BBHHHBBH4s4s", 69, 0, 20 + len(udp), number, 0, 64, 17, 0, source, socket.inet_aton(address)
        )
        total = sum(struct.unpack("!10H", head))
        total = (total & 0xFFFF) + (total >> 16)
        check = 0xFFFF - ((total & 0xFFFF) + (total >> 16))
        head = head[:10] + struct.pack("!H", check) + head[12:]
        sender.send(bytes.fromhex(mac.replace(":", "")) + own + b"\x08\x00" + head + udp)
    print("sent")


SOL_PACKET, PACKET_AUXDATA, VLAN_VALID = 263, 8, 1 << 4


class Tagged:
    """Frames with a VLAN tag by a raw socket: works where the kernel has no 802.1Q."""

    def __init__(self, device: str, vlan: int, mac: str = "") -> None:
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.socket.bind((device, 0))
        self.own = bytes.fromhex(mac.replace(":", "")) if mac else self.socket.getsockname()[4]
        self.vlan = vlan

    def send(self, to: bytes, kind: int, data: bytes) -> None:
        tag = struct.pack("!HH", 0x8100, self.vlan) if self.vlan else b""
        self.socket.send(to + self.own + tag + struct.pack("!H", kind) + data)

    def arp(self, verb: int, to: bytes, own: str, target: bytes, address: str) -> None:
        head = struct.pack("!HHBBH", 1, 0x800, 6, 4, verb)
        data = head + self.own + socket.inet_aton(own) + target + socket.inet_aton(address)
        self.send(to, 0x806, data.ljust(46, b"\0"))

    def icmp(self, to: bytes, kind: int, own: str, address: str, body: bytes) -> None:
        message = struct.pack("!BBH", kind, 0, 0) + body
        message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
        head = struct.pack("!BBHHHBBH", 69, 0, 20 + len(message), 1, 0, 64, 1, 0)
        head += socket.inet_aton(own) + socket.inet_aton(address)
        self.send(to, 0x800, head[:10] + struct.pack("!H", checksum(head)) + head[12:] + message)

    def receive(self) -> tuple[int, bytes]:
        """The tag and the frame without it."""
        while True:
            frame, extra, _, where = self.socket.recvmsg(2048, 64)
            if where[2] == 4:  # what this machine itself sends
                continue
            tag = 0
            for level, kind, data in extra:
                if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
                    status, _, _, _, _, tci, _ = struct.unpack("IIIHHHH", data)
                    tag = tci & 0xFFF if status & VLAN_VALID else 0
            return tag, frame


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


def tagged_ping(device: str, vlan: int, own: str, address: str, mac: str = "") -> None:
    wire, everybody = Tagged(device, vlan, mac), b"\xff" * 6
    there = b""
    deadline = time.monotonic() + 3
    wire.socket.settimeout(0.3)
    while time.monotonic() < deadline:
        if there:
            wire.icmp(there, 8, own, address, struct.pack("!HH", 7, 1) + b"pileus--")
        else:
            wire.arp(1, everybody, own, bytes(6), address)
        try:
            while True:
                tag, frame = wire.receive()
                kind, data = frame[12:14], frame[14:]
                if kind == b"\x08\x06" and data[6:8] == b"\0\2" and data[14:18] == socket.inet_aton(address):
                    there = data[8:14]
                    break
                echoed = kind == b"\x08\0" and (data[9], data[20]) == (1, 0)
                if echoed and data[12:16] == socket.inet_aton(address):
                    print(tag, flush=True)
                    return
        except TimeoutError:
            continue
    print("silence", flush=True)


def tagged_answer(device: str, vlan: int, own: str) -> None:
    wire = Tagged(device, vlan)
    print("ready", flush=True)
    while True:
        tag, frame = wire.receive()
        kind, data = frame[12:14], frame[14:]
        if tag != vlan:
            continue
        if kind == b"\x08\x06" and data[6:8] == b"\0\1" and data[24:28] == socket.inet_aton(own):
            wire.arp(2, data[8:14], own, data[8:14], socket.inet_ntoa(data[14:18]))
        elif kind == b"\x08\0" and data[9] == 1 and data[20] == 8 and data[16:20] == socket.inet_aton(own):
            length = int.from_bytes(data[2:4])
            wire.icmp(frame[6:12], 0, own, socket.inet_ntoa(data[12:16]), data[24:length])


def solicit(device: str, address: str) -> None:
    """Ask who has an IPv6 address, without the option that says who asks; print what is answered."""
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x86DD))
    wire.bind((device, 0))
    wire.settimeout(1)
    own = wire.getsockname()[4]
    link = b"\xfe\x80" + bytes(6) + bytes([own[0] ^ 2]) + own[1:3] + b"\xff\xfe" + own[3:]
    target = socket.inet_pton(socket.AF_INET6, address)
    many = b"\xff\x02" + bytes(9) + b"\x01\xff" + target[13:]
    message = struct.pack("!BBHI", 135, 0, 0, 0) + target
    pseudo = link + many + struct.pack("!II", len(message), 58)
    message = message[:2] + struct.pack("!H", checksum(pseudo + message)) + message[4:]
    head = struct.pack("!IHBB", 6 << 28, len(message), 58, 255) + link + many
    for _ in range(5):
        wire.send(b"\x33\x33" + many[12:] + own + b"\x86\xdd" + head + message)
        try:
            while True:
                packet = wire.recv(2048)[14:]
                if packet[6] == 58 and packet[40] == 136 and packet[48:64] == target:
                    source = socket.inet_ntop(socket.AF_INET6, packet[8:24])
                    print(json.dumps({"from": source, "flags": packet[44], "mac": packet[66:72].hex(":")}))
                    return
        except TimeoutError:
            continue
    print(json.dumps({}))


def senders(device: str) -> None:
    """Print the hardware addresses that echo requests came from, when told to stop."""
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x800))
    wire.bind((device, 0))
    found: set[str] = set()

    def hear() -> None:
        frame, where = wire.recvfrom(2048)
        if where[2] != 4 and (frame[23], frame[34]) == (1, 8):
            found.add(frame[6:12].hex(":"))

    def report(*_: object) -> None:
        wire.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:  # what has come and was not looked at yet
                hear()
        print(json.dumps(sorted(found)), flush=True)
        sys.exit(0)

    signal.signal(signal.SIGTERM, report)
    print("ready", flush=True)
    while True:
        hear()


def serve(port: int) -> None:
    listener = socket.create_server(("0.0.0.0", port))
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        while data := connection.recv(100):
            connection.sendall(data)


def talk(address: str, port: int) -> None:
    """Say each line of standard input to the server; print what came back within a second."""
    connection = socket.create_connection((address, port), timeout=1.5)
    print("connected", flush=True)
    for line in sys.stdin:
        try:
            connection.sendall(line.encode())
            connection.settimeout(1.5)
            print(connection.recv(100).decode().strip(), flush=True)
        except TimeoutError:
            print("silence", flush=True)


if __name__ == "__main__":
    verb, *rest = sys.argv[1:]
    match verb:
        case "receive":
            receive(int(rest[0]), *map(float, rest[1:]))
        case "send":
            send(rest[0], int(rest[1]), float(rest[2]), float(rest[3]), *map(int, rest[4:]))
        case "frames":
            frames(rest[0], rest[1], rest[2], int(rest[3]))
        case "tagged-ping":
            tagged_ping(rest[0], int(rest[1]), *rest[2:])
        case "tagged-answer":
            tagged_answer(rest[0], int(rest[1]), rest[2])
        case "senders":
            senders(rest[0])
        case "solicit":
            solicit(rest[0], rest[1])
        case "serve":
            serve(int(rest[0]))
        case "talk":
            talk(rest[0], int(rest[1]))
