"""Many DHCP clients that start at the same moment, each in a namespace of its own.

    python -m tests.dhcp_burst < '[["NAMESPACE", "MAC"], ...]'

Prints as JSON which address each MAC has got and how long it took, in seconds.
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import socket
import sys
import time
from pathlib import Path

from tests.dhcp_client import frame, ip, parse

_WITHIN_S, _AGAIN_S = 20.0, 1.0
_NEW_NETWORK = 0x40000000


class Client:
    """One guest's client: it asks again until it has its lease."""

    def __init__(self, namespace: str, mac: str) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        with Path(f"/run/netns/{namespace}").open() as file:
            if libc.setns(file.fileno(), _NEW_NETWORK):
                raise OSError(ctypes.get_errno(), namespace)
        self.mac = mac
        self.link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        self.link.bind(("eth0", 0))
        self.link.setblocking(False)
        self.address: str | None = None
        self.took_s = 0.0
        self.due = 0.0
        self._offer: dict[int, bytes] | None = None
        self._transaction = int.from_bytes(os.urandom(4), "big")

    def ask(self, now: float) -> None:
        """Send what is next."""
        options = b"\x35\x01\x01"
        if self._offer is not None:
            options = b"\x35\x01\x03\x32\x04" + self._offer[0] + b"\x36\x04" + self._offer[54]
        self.link.send(frame(bytes.fromhex(self.mac.replace(":", "")), self._transaction, options))
        self.due = now + _AGAIN_S

    def hear(self, began: float) -> None:
        """Take what has come."""
        reply = parse(self.link.recv(2000), self._transaction)
        if reply is None or self.address is not None:
            return
        kind, now = reply[53][0], time.monotonic()
        if kind == 2 and self._offer is None:
            self._offer = reply
            self.ask(now)
        elif kind == 5:
            self.address, self.took_s = ip(reply[0]), now - began


def main() -> None:
    clients = [Client(*pair) for pair in json.load(sys.stdin)]
    selector = selectors.DefaultSelector()
    for client in clients:
        selector.register(client.link, selectors.EVENT_READ, client)
    began = time.monotonic()
    for client in clients:
        client.ask(began)
    while any(client.address is None for client in clients) and time.monotonic() - began < _WITHIN_S:
        for key, _ in selector.select(0.1):
            key.data.hear(began)
        now = time.monotonic()
        for client in clients:
            if client.address is None and client.due <= now:
                client.ask(now)
    print(json.dumps({client.mac: [client.address, round(client.took_s, 3)] for client in clients}))


if __name__ == "__main__":
    main()
