"""The same questions to nftables in a namespace and to the simulated packet filter; then, with packets,
what a router's rules do."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from pileus.drivers.nft.driver import FilterFailed, Nft, PacketFilter, missing_programs
from pileus.drivers.nft.router import (
    FIXED_TO_FLOATING,
    FLOATING_TO_FIXED,
    TABLE,
    FloatingIp,
    Gateway,
    RouterRules,
    render,
)
from pileus.drivers.nft.simulated import SimulatedFilter
from pileus.drivers.nft.table import Base, Chain, Command, Element, InstalledTable, NamedSet, Rule, Table

_numbers = itertools.count(1)


def why_not_real() -> str | None:
    if os.geteuid() != 0:
        return "needs root: namespaces and nftables"
    if missing := missing_programs():
        return f"not installed: {', '.join(missing)}"
    return None


class Place:
    """A packet filter and a namespace of its own."""

    def __init__(self, runner: asyncio.Runner, filter_: PacketFilter, namespace: str) -> None:
        self.run = runner.run
        self.filter = filter_
        self.namespace = namespace

    def apply(self, *tables: Table) -> list[Command]:
        return self.run(self.filter.apply({self.namespace: tables}))[self.namespace]

    def read(self, table: Table) -> InstalledTable | None:
        found = self.run(self.filter.read([self.namespace]))[self.namespace]
        return found.get((table.family, table.name))


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.real)])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    namespace = f"pln-{os.getpid()}-{next(_numbers)}"
    with asyncio.Runner() as runner:
        if request.param == "simulated":
            yield Place(runner, SimulatedFilter(), namespace)
            return
        if (reason := why_not_real()) is not None:
            pytest.skip(reason)
        subprocess.run(["ip", "netns", "add", namespace], check=True)
        yield Place(runner, Nft(), namespace)
        subprocess.run(["ip", "netns", "del", namespace], check=True)


DROP_BLOCKED = Rule(
    "blocked",
    (
        {
            "match": {
                "op": "==",
                "left": {"payload": {"protocol": "ip", "field": "saddr"}},
                "right": "@blocked",
            }
        },
        {"drop": None},
    ),
)
BLOCKED = NamedSet(
    name="blocked",
    type=("ipv4_addr",),
    interval=True,
    elements=(Element("10.0.0.0/24", comment="net"), Element("192.0.2.1")),
)
PORTS = NamedSet(name="ports", type=("ipv4_addr", "inet_service"), elements=(Element(("10.0.0.1", 80)),))
INPUT = Base("filter", "input", 0)
SIMPLE = Table(
    name="pileus_test", sets=(BLOCKED, PORTS), chains=(Chain("input", (DROP_BLOCKED,), INPUT), Chain("empty"))
)


def verbs(commands: Sequence[Command]) -> list[tuple[str, str]]:
    return [(verb, kind) for command in commands for verb, target in command.items() for kind in target]


def test_a_table_is_made_and_read_back(place: Place) -> None:
    assert place.read(SIMPLE) is None
    assert place.apply(SIMPLE)
    found = place.read(SIMPLE)
    assert found is not None
    assert found.sets["blocked"].declared == replace(BLOCKED, elements=())
    assert set(found.sets["blocked"].elements.values()) == set(BLOCKED.elements)
    assert set(found.sets["ports"].elements) == {("10.0.0.1", 80)}
    assert found.chains["input"].base == INPUT and found.chains["input"].comments == [DROP_BLOCKED.comment]
    assert found.chains["empty"].base is None
    assert place.apply(SIMPLE) == []


@pytest.mark.parametrize(
    "rules",
    [
        RouterRules(),
        RouterRules(inside=("qr-1", "qr-2"), metadata_port=9697),
        RouterRules(
            gateways=(Gateway("qg-1"),),
            inside=("qr-1",),
            floating_ips=(FloatingIp("f1", "192.0.2.9", "10.0.0.9"),),
        ),
        RouterRules(
            gateways=(Gateway("qg-1", "192.0.2.2"),),
            inside=("qr-1",),
            metadata_port=9697,
            floating_ips=(FloatingIp("f1", "192.0.2.9", "10.0.0.9"),),
        ),
    ],
)
def test_a_second_pass_over_a_router_does_nothing(place: Place, rules: RouterRules) -> None:
    assert place.apply(render(rules))
    assert place.apply(render(rules)) == []
    for other in (RouterRules(), rules):  # there and back
        place.apply(render(other))
        assert place.apply(render(other)) == []


def test_one_floating_ip_is_one_element_in_each_map(place: Place) -> None:
    first, second = FloatingIp("f1", "192.0.2.9", "10.0.0.9"), FloatingIp("f2", "192.0.2.8", "10.0.0.8")
    rules = RouterRules(gateways=(Gateway("qg-1", "192.0.2.2"),), floating_ips=(first,))
    place.apply(render(rules))
    two = replace(rules, floating_ips=(first, second))
    commands = place.apply(render(two))
    assert verbs(commands) == [("add", "element")] * 2
    assert [len(command["add"]["element"]["elem"]) for command in commands] == [1, 1]
    moved = replace(rules, floating_ips=(first, replace(second, fixed="10.0.0.7")))
    assert verbs(place.apply(render(moved))) == [("delete", "element"), ("add", "element")] * 2
    found = place.read(render(moved))
    assert found is not None
    assert found.sets[FLOATING_TO_FIXED].elements["192.0.2.8"] == Element("192.0.2.8", "10.0.0.7", "f2")
    assert set(found.sets[FIXED_TO_FLOATING].elements) == {"10.0.0.9", "10.0.0.7"}


def test_a_changed_chain_is_written_anew_and_others_stay(place: Place) -> None:
    place.apply(SIMPLE)
    other = Rule("again", DROP_BLOCKED.expressions)
    changed = replace(SIMPLE, chains=(Chain("input", (DROP_BLOCKED, other), INPUT), Chain("empty")))
    assert verbs(place.apply(changed)) == [("flush", "chain"), ("add", "rule"), ("add", "rule")]
    assert place.apply(changed) == []


def test_what_is_no_longer_wanted_goes(place: Place) -> None:
    place.apply(SIMPLE)
    smaller = replace(SIMPLE, sets=(PORTS,), chains=(Chain("empty"),))
    place.apply(smaller)
    found = place.read(SIMPLE)
    assert found is not None
    assert set(found.sets) == {"ports"} and set(found.chains) == {"empty"}
    assert place.apply(smaller) == []


def test_what_can_not_change_in_place_is_made_anew(place: Place) -> None:
    place.apply(SIMPLE)
    other = replace(SIMPLE, sets=(replace(BLOCKED, interval=False, elements=(Element("192.0.2.1"),)), PORTS))
    assert verbs(place.apply(other))[:2] == [("delete", "table"), ("add", "table")]
    assert place.apply(other) == []


def test_a_load_is_whole_or_not_at_all(place: Place) -> None:
    place.apply(SIMPLE)
    broken = Rule("broken", (replace_right(DROP_BLOCKED.expressions[0], "@nowhere"), {"drop": None}))
    wrong = replace(
        SIMPLE,
        sets=(replace(BLOCKED, elements=(Element("192.0.2.7"),)), PORTS),
        chains=(Chain("input", (broken,), INPUT), Chain("empty")),
    )
    with pytest.raises(FilterFailed) as caught:
        place.apply(wrong)
    assert list(caught.value.reasons) == [place.namespace]
    assert place.apply(SIMPLE) == [], "nothing of it was taken"


def replace_right(expression: Any, right: str) -> Any:
    return {"match": {**expression["match"], "right": right}}


def test_tables_of_others_are_left_alone_and_ours_removed(place: Place) -> None:
    place.apply(SIMPLE, render(RouterRules()))
    place.run(place.filter.remove({place.namespace: [("ip", TABLE), ("ip", "pileus_none")]}))
    assert place.read(render(RouterRules())) is None
    assert place.read(SIMPLE) is not None
    place.run(place.filter.remove({place.namespace: [("ip", "pileus_test")]}))
    assert place.run(place.filter.read([place.namespace])) == {place.namespace: {}}


def test_any_change_of_a_namespaces_rules_changes_its_number(place: Place) -> None:
    def number() -> int:
        return int(place.run(place.filter.generations([place.namespace]))[place.namespace])

    seen = [number()]
    assert number() == seen[0]
    for change in (
        lambda: place.apply(SIMPLE),
        lambda: place.apply(render(RouterRules())),
        lambda: place.run(place.filter.remove({place.namespace: [("ip", "pileus_test")]})),
    ):
        change()
        seen.append(number())
    assert len(set(seen)) == len(seen)
    assert place.apply(render(RouterRules())) == []
    assert number() == seen[-1], "where nothing differs nothing is loaded"


_SERVER = """
import socket, sys
server = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
while True:
    peer, address = server.accept()
    peer.sendall(address[0].encode())
    peer.close()
"""
_CLIENT = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3])) as peer:
        print(peer.recv(100).decode())
except OSError:
    print("-")
"""


class Wires:
    """Two machines inside, a router, one machine outside; each in a namespace."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self.run = runner.run
        self.filter = Nft()
        number = f"{os.getpid()}-{next(_numbers)}"
        self.router, self.one, self.two, self.out = (f"pl{kind}-{number}" for kind in ("r", "a", "b", "o"))
        self.servers: list[subprocess.Popen[str]] = []
        for namespace in (self.router, self.one, self.two, self.out):
            self.ip("netns", "add", namespace)
            self.ip("-n", namespace, "link", "set", "lo", "up")
        self.inside("sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.wire("qr-1", "10.0.0.1", self.one, "10.0.0.5")
        self.wire("qr-2", "10.1.0.1", self.two, "10.1.0.6")
        self.wire("qg-1", "192.0.2.2", self.out, "192.0.2.1")
        for address in ("192.0.2.10", "192.0.2.11"):
            self.ip("-n", self.router, "address", "add", f"{address}/32", "dev", "qg-1")

    def ip(self, *arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True)

    def inside(self, *command: str) -> None:
        subprocess.run(["ip", "netns", "exec", self.router, *command], check=True)

    def wire(self, name: str, address: str, namespace: str, other: str) -> None:
        self.ip("-n", self.router, "link", "add", name, "type", "veth", "peer", "eth0", "netns", namespace)
        for where, device, mine in ((self.router, name, address), (namespace, "eth0", other)):
            self.ip("-n", where, "address", "add", f"{mine}/24", "dev", device)
            self.ip("-n", where, "link", "set", device, "up")
        if namespace != self.out:  # the outer network knows no way to the inner ones
            self.ip("-n", namespace, "route", "add", "default", "via", address)

    def apply(self, rules: RouterRules) -> list[Command]:
        return self.run(self.filter.apply({self.router: [render(rules)]}))[self.router]

    def serve(self, namespace: str, address: str, port: int, server: str = _SERVER) -> None:
        """Tell who connects the address that it seems to have."""
        command = ["ip", "netns", "exec", namespace, sys.executable, "-c", server, address, str(port)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.servers.append(process)
        assert process.stdout is not None and process.stdout.readline() == "ready\n"

    def ask(self, namespace: str, address: str, port: int, timeout_s: float = 3) -> str:
        """As whom a client there reaches a server; ``-`` when it does not."""
        arguments = [sys.executable, "-c", _CLIENT, address, str(port), str(timeout_s)]
        command = ["ip", "netns", "exec", namespace, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def packets(self, name: str, key: str) -> int:
        found = self.run(self.filter.read([self.router]))[self.router]["ip", TABLE]
        return found.sets[name].counters[key][0]

    def close(self) -> None:
        for server in self.servers:
            server.kill()
            server.wait()
            assert server.stdout is not None
            server.stdout.close()
        for namespace in (self.router, self.one, self.two, self.out):
            self.ip("netns", "del", namespace)


@pytest.fixture
def wires() -> Iterator[Wires]:
    if (reason := why_not_real()) is not None:
        pytest.skip(reason)
    with asyncio.Runner() as runner:
        wires = Wires(runner)
        yield wires
        wires.close()


ROUTER = RouterRules(gateways=(Gateway("qg-1", "192.0.2.2"),), inside=("qr-1", "qr-2"), metadata_port=9697)
ONE, TWO = FloatingIp("f1", "192.0.2.10", "10.0.0.5"), FloatingIp("f2", "192.0.2.11", "10.1.0.6")


@pytest.mark.real
def test_source_nat_outwards_and_none_between_subnets(wires: Wires) -> None:
    wires.serve(wires.out, "192.0.2.1", 1000)
    wires.serve(wires.two, "10.1.0.6", 1000)
    assert wires.ask(wires.one, "192.0.2.1", 1000, 0.5) == "-", "no way back without NAT"
    wires.apply(ROUTER)
    assert wires.ask(wires.one, "192.0.2.1", 1000) == "192.0.2.2"
    assert wires.ask(wires.one, "10.1.0.6", 1000) == "10.0.0.5"


@pytest.mark.real
def test_floating_ips_in_out_and_around(wires: Wires) -> None:
    wires.apply(replace(ROUTER, floating_ips=(ONE,)))
    wires.serve(wires.out, "192.0.2.1", 1000)
    wires.serve(wires.one, "10.0.0.5", 1000)
    wires.serve(wires.two, "10.1.0.6", 1000)
    assert wires.ask(wires.out, ONE.floating, 1000) == "192.0.2.1", "in, and the client is seen as it is"
    assert wires.ask(wires.one, "192.0.2.1", 1000) == ONE.floating, "out"
    assert wires.ask(wires.two, "192.0.2.1", 1000) == "192.0.2.2", "another port keeps to the gateway's"
    assert wires.ask(wires.two, ONE.floating, 1000) == "192.0.2.2", "around, as the gateway"
    assert wires.ask(wires.one, ONE.floating, 1000) == ONE.floating, "to itself"
    assert wires.ask(wires.router, ONE.floating, 1000) != "-", "from the router itself"
    assert wires.ask(wires.out, TWO.floating, 1000, 0.5) == "-", "not given to anybody"
    wires.apply(replace(ROUTER, floating_ips=(ONE, TWO)))
    assert wires.ask(wires.two, ONE.floating, 1000) == TWO.floating, "around, as its own"


@pytest.mark.real
def test_a_change_touches_one_element(wires: Wires) -> None:
    wires.apply(replace(ROUTER, floating_ips=(ONE, TWO)))
    wires.serve(wires.one, "10.0.0.5", 1000)
    wires.serve(wires.two, "10.1.0.6", 1000)
    assert wires.ask(wires.out, ONE.floating, 1000) == "192.0.2.1"
    assert wires.ask(wires.out, TWO.floating, 1000) == "192.0.2.1"
    before = wires.packets(FLOATING_TO_FIXED, ONE.floating)
    assert before >= 1 and wires.packets(FLOATING_TO_FIXED, TWO.floating) >= 1
    wires.apply(replace(ROUTER, floating_ips=(ONE, replace(TWO, fixed="10.0.0.99"))))
    assert wires.packets(FLOATING_TO_FIXED, ONE.floating) == before, "its counter is not touched"
    assert wires.packets(FLOATING_TO_FIXED, TWO.floating) == 0, "the other is new"
    assert wires.ask(wires.out, ONE.floating, 1000) == "192.0.2.1"
    assert wires.ask(wires.out, TWO.floating, 1000, 0.5) == "-"


@pytest.mark.real
def test_metadata_is_redirected_and_only_so_reached(wires: Wires) -> None:
    wires.apply(ROUTER)
    wires.serve(wires.router, "0.0.0.0", 9697)
    assert wires.ask(wires.one, "169.254.169.254", 80) == "10.0.0.5", "it sees who asks"
    assert wires.ask(wires.one, "10.0.0.1", 9697, 0.5) == "-"
    assert wires.ask(wires.out, "192.0.2.2", 9697, 0.5) == "-"


_TALKER = """
import socket, sys
with socket.create_connection((sys.argv[1], 1001), timeout=3) as peer:
    for line in sys.stdin:
        peer.sendall(line.encode())
        try:
            print(peer.recv(100).decode().strip() or "-", flush=True)
        except OSError:
            print("-", flush=True)
"""
_ECHO = """
import socket, sys
server = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
peer, _ = server.accept()
while data := peer.recv(100):
    peer.sendall(data)
"""


@pytest.mark.real
def test_a_floating_ip_that_goes_takes_its_connections_along(wires: Wires) -> None:
    wires.apply(replace(ROUTER, floating_ips=(ONE, TWO)))
    wires.serve(wires.one, "10.0.0.5", 1001, _ECHO)
    command = ["ip", "netns", "exec", wires.out, sys.executable, "-c", _TALKER, ONE.floating]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as talker:
        assert talker.stdin is not None and talker.stdout is not None

        def say(text: str) -> str:
            print(text, file=talker.stdin, flush=True)
            assert talker.stdout is not None
            return talker.stdout.readline().strip()

        assert say("one") == "one"
        wires.apply(replace(ROUTER, floating_ips=(TWO,)))
        assert say("two") == "two", "rules are asked at a connection's beginning only"
        assert wires.run(wires.filter.forget_connections({wires.router: [TWO.floating]})) == 0
        assert say("three") == "three"
        assert wires.run(wires.filter.forget_connections({wires.router: [ONE.floating]})) == 1
        assert say("four") == "-"
        talker.kill()


@pytest.mark.real
def test_two_hundred_floating_ips_are_one_load(wires: Wires) -> None:
    many = tuple(FloatingIp(f"f{n}", f"192.0.2.{n}", f"10.0.0.{n}") for n in range(3, 203))
    began = time.monotonic()
    commands = wires.apply(replace(ROUTER, floating_ips=many))
    assert len(commands) < 30
    assert time.monotonic() - began < 5
    assert wires.apply(replace(ROUTER, floating_ips=many)) == []
