"""Port forwardings of a router's table: to nftables and to the simulated filter, and with packets."""

from __future__ import annotations

import subprocess
import sys

import pytest
from msgspec.structs import replace
from tests.contract.test_nft import ROUTER, Place, Wires, place, wires

from pileus.drivers.nft.connections import Listening
from pileus.drivers.nft.forwarding import FORWARDED_ADDRESS, FORWARDED_PORT, Forwarding
from pileus.drivers.nft.router import render

__all__ = ["place", "wires"]

OUT = "192.0.2.10"
ONE_PORT = Forwarding("one", "tcp", OUT, (2222, 2222), "10.0.0.5", (1000, 1000))
MANY_TO_ONE = Forwarding("many", "tcp", OUT, (3000, 3009), "10.1.0.6", (1000, 1000))
SHIFTED = Forwarding("shifted", "tcp", OUT, (4000, 4003), "10.0.0.5", (999, 1002))
SAME = Forwarding("same", "udp", OUT, (5000, 5009), "10.0.0.5", (5000, 5009))
ALL = replace(ROUTER, forwardings=(ONE_PORT, MANY_TO_ONE, SHIFTED, SAME))

_UDP_SERVER = """
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
while True:
    data, peer = server.recvfrom(100)
    server.sendto(peer[0].encode(), peer)
"""
_UDP_CLIENT = """
import socket, sys
asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asking.settimeout(float(sys.argv[3]))
asking.connect((sys.argv[1], int(sys.argv[2])))
for line in sys.stdin:
    try:
        asking.send(b"?")
        print(asking.recv(100).decode(), flush=True)
    except OSError:
        print("-", flush=True)
"""


def test_forwardings_are_made_read_back_and_changed(place: Place) -> None:
    place.apply(render(ALL))
    assert place.apply(render(ALL)) == []
    found = place.read(render(ALL))
    assert found is not None
    addresses, ports = found.sets[FORWARDED_ADDRESS].elements, found.sets[FORWARDED_PORT].elements
    assert {key: element.value for key, element in addresses.items()} == {
        ("tcp", OUT, 2222): "10.0.0.5",
        ("tcp", OUT, "3000-3009"): "10.1.0.6",
        ("tcp", OUT, "4000-4003"): "10.0.0.5",
        ("udp", OUT, "5000-5009"): "10.0.0.5",
    }
    assert ports["tcp", OUT, "3000-3009"].value == 1000 and len(ports) == 6
    fewer = replace(ROUTER, forwardings=(ONE_PORT, replace(MANY_TO_ONE, external=(3000, 3004)), SAME))
    commands = place.apply(render(fewer))
    assert all("element" in next(iter(command.values())) for command in commands), "elements and nothing else"
    assert place.apply(render(fewer)) == []


def udp(wires: Wires, port: int, timeout_s: float = 2) -> str:
    command = ["ip", "netns", "exec", wires.out, sys.executable, "-c", _UDP_CLIENT, OUT, str(port)]
    done = subprocess.run([*command, str(timeout_s)], input="\n", check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.mark.real
def test_each_kind_of_forwarding_with_packets(wires: Wires) -> None:
    wires.apply(ALL)
    wires.serve(wires.one, "10.0.0.5", 1000)
    wires.serve(wires.two, "10.1.0.6", 1000)
    assert wires.ask(wires.out, OUT, 2222) == "192.0.2.1", "one port, and the client is seen as it is"
    assert wires.ask(wires.out, OUT, 3000) == wires.ask(wires.out, OUT, 3009) == "192.0.2.1", "many to one"
    assert wires.ask(wires.out, OUT, 4001) == "192.0.2.1", "a range, each to its own: 4001 to 1000"
    assert wires.ask(wires.two, OUT, 2222) == "192.0.2.2", "from inside, as the gateway"
    assert wires.ask(wires.one, OUT, 3005) == "192.0.2.2"
    for closed in (2221, 2223, 3010, 4000, 4004):
        assert wires.ask(wires.out, OUT, closed, 0.5) == "-", closed
    wires.serve(wires.one, "10.0.0.5", 5009, _UDP_SERVER)
    assert udp(wires, 5009) == "192.0.2.1", "UDP, a range that keeps its numbers"
    assert udp(wires, 2222, 0.5) == udp(wires, 5010, 0.5) == "-", "not what is forwarded of TCP, nor beyond"
    assert wires.ask(wires.one, "192.0.2.1", 1000, 0.5) == "-"


@pytest.mark.real
def test_a_forwarding_that_goes_takes_its_connections_along(wires: Wires) -> None:
    both = (SAME, replace(SAME, id="other", external=(6000, 6000), internal=(5000, 5000)))
    wires.apply(replace(ROUTER, forwardings=both))
    wires.serve(wires.one, "10.0.0.5", 5000, _UDP_SERVER)
    command = ["ip", "netns", "exec", wires.out, sys.executable, "-c", _UDP_CLIENT, OUT]
    talkers = [
        subprocess.Popen([*command, port, "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for port in ("5000", "6000")
    ]

    def say(talker: subprocess.Popen[str]) -> str:
        assert talker.stdin is not None and talker.stdout is not None
        print(file=talker.stdin, flush=True)
        return talker.stdout.readline().strip()

    try:
        assert [say(talker) for talker in talkers] == ["192.0.2.1"] * 2
        wires.apply(replace(ROUTER, forwardings=both[1:]))
        assert say(talkers[0]) == "192.0.2.1", "rules are asked at a connection's beginning only"
        gone = [Listening(OUT, "udp", 5000, 5009), Listening(OUT, "tcp", 6000, 6000)]
        assert wires.run(wires.filter.forget_connections({wires.router: gone})) == 1
        assert [say(talker) for talker in talkers] == ["-", "192.0.2.1"], "the other goes on"
    finally:
        for talker in talkers:
            talker.kill()
            talker.communicate()
