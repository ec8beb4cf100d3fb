"""UDP packets with numbers on them, counted: run by a bare Python inside of a guest's namespace.

traffic.py receive PORT                 until told to stop by SIGTERM; then prints what came
traffic.py send ADDRESS PORT RATE SECONDS [SIZE]   prints how many were sent
traffic.py frames DEVICE MAC ADDRESS PORT   twenty datagrams in frames to that MAC, whoever has the address
traffic.py serve PORT                   a TCP server that echoes; traffic.py talk ADDRESS PORT
"""

import json
import signal
import socket
import struct
import sys
import time


def receive(port: int) -> None:
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    listener.bind(("0.0.0.0", port))
    seen: set[int] = set()
    octets, first, last = 0, 0.0, 0.0

    def report(*_: object) -> None:
        gaps = sorted(set(range(min(seen), max(seen) + 1)) - seen)[:20] if seen else []
        print(json.dumps({"packets": len(seen), "octets": octets, "seconds": last - first, "gaps": gaps}))
        sys.stdout.flush()
        sys.exit(0)

    signal.signal(signal.SIGTERM, report)
    print("ready", flush=True)
    while True:
        data = listener.recv(2048)
        last = time.monotonic()
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
            receive(int(rest[0]))
        case "send":
            send(rest[0], int(rest[1]), float(rest[2]), float(rest[3]), *map(int, rest[4:]))
        case "frames":
            frames(rest[0], rest[1], rest[2], int(rest[3]))
        case "serve":
            serve(int(rest[0]))
        case "talk":
            talk(rest[0], int(rest[1]))
