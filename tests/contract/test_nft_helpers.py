"""Conntrack helpers in a router's table: to nftables and to the simulated filter, and with packets."""

from __future__ import annotations

import subprocess
import sys

import pytest
from msgspec.structs import replace
from tests.contract.test_nft import ROUTER, Place, Wires, place, wires

from pileus.drivers.nft.driver import FilterFailed
from pileus.drivers.nft.helpers import Helper
from pileus.drivers.nft.router import render

__all__ = ["place", "wires"]

FTP, TFTP = Helper("ftp", "tcp", 2121), Helper("tftp", "udp", 69)

_FTP_SERVER = """
import socket, sys
server = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
while True:
    peer, _ = server.accept()
    peer.sendall(b"220 hello\\r\\n")
    peer.recv(100)
    peer.sendall(b"230 well\\r\\n")
    a, b, c, d, high, low = peer.recv(100).decode().split()[1].split(",")
    peer.sendall(b"200 ok\\r\\n")
    named = ".".join((a, b, c, d)), int(high) * 256 + int(low)
    try:
        with socket.create_connection(named, timeout=2) as data:
            data.sendall(b"data")
    except OSError:
        pass
    peer.close()
"""
_FTP_CLIENT = """
import socket, sys
own, server, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
listener = socket.create_server((own, 0))
listener.settimeout(2)
number = listener.getsockname()[1]
with socket.create_connection((server, port), timeout=3) as peer:
    peer.recv(100)
    peer.sendall(b"USER anonymous\\r\\n")
    peer.recv(100)
    peer.sendall(f"PORT {own.replace('.', ',')},{number >> 8},{number & 255}\\r\\n".encode())
    try:
        print(listener.accept()[0].recv(10).decode())
    except OSError:
        print("-")
"""


def test_helpers_come_and_go(place: Place) -> None:
    with_two = replace(ROUTER, helpers=(TFTP, FTP))
    for rules in (ROUTER, with_two, replace(with_two, helpers=(TFTP,)), ROUTER):
        assert place.apply(render(rules))
        assert place.apply(render(rules)) == []
    found = place.read(render(ROUTER))
    assert found is not None and found.objects == {}


def test_a_helper_that_the_kernel_has_not_is_refused(place: Place) -> None:
    place.apply(render(ROUTER))
    with pytest.raises(FilterFailed):
        place.apply(render(replace(ROUTER, helpers=(FTP, Helper("none-such", "tcp", 1)))))
    assert place.apply(render(ROUTER)) == [], "all or nothing"


@pytest.mark.real
def test_a_server_outside_reaches_the_port_that_a_guest_names(wires: Wires) -> None:
    def transfer() -> str:
        client = [sys.executable, "-c", _FTP_CLIENT, "10.0.0.5", "192.0.2.1", "2121"]
        command = ["ip", "netns", "exec", wires.one, *client]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    wires.apply(ROUTER)
    wires.serve(wires.out, "192.0.2.1", 2121, _FTP_SERVER)
    assert transfer() == "-", "the server is told an address of the inside"
    wires.apply(replace(ROUTER, helpers=(FTP,)))
    assert transfer() == "data", "the router has read and translated it"
