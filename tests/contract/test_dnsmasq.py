"""The same questions to dnsmasq, asked by a client over a wire, and to the simulated servers."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from pileus.drivers.dnsmasq.driver import Dnsmasq, missing_programs
from pileus.drivers.dnsmasq.simulated import SimulatedDhcp
from pileus.drivers.dnsmasq.spec import (
    Applied,
    DhcpFailed,
    DhcpHost,
    DhcpNetwork,
    DhcpOption,
    DhcpRoute,
    DhcpServers,
    DhcpSubnet,
)

CLIENT = Path(__file__).parents[1] / "dhcp_client.py"
_numbers = itertools.count(1)


def why_not_real() -> str | None:
    if os.geteuid() != 0:
        return "needs root: namespaces and DHCP's port"
    if missing := missing_programs():
        return f"not installed: {', '.join(missing)}"
    return None


def host(number: int, *addresses: str, **more: Any) -> DhcpHost:
    return DhcpHost(
        port_id=f"p{number}",
        mac=f"fa:16:3e:00:00:{number:02x}",
        addresses=addresses or (f"10.7.0.{number}",),
        hostname=f"host-{number}",
        **more,
    )


SUBNET = DhcpSubnet(
    id="s1", cidr="10.7.0.0/24", server="10.7.0.2", gateway="10.7.0.1", resolvers=("9.9.9.9", "8.8.8.8")
)
OTHER = DhcpSubnet(id="s2", cidr="10.8.0.0/24", server="10.8.0.2")


class Site:
    """A network with its server and a place for clients."""

    network: DhcpNetwork
    servers: DhcpServers

    def __init__(self, runner: asyncio.Runner) -> None:
        self.run = runner.run

    def apply(self, **changes: Any) -> Applied:
        self.network = replace(self.network, **changes)
        return self.run(self.servers.apply([self.network]))[self.network.network_id]

    def ask(self, number: int) -> dict[str, Any] | None:
        """What the client number N is told."""
        raise NotImplementedError

    def asked_until(self, number: int, condition: Callable[[dict[str, Any] | None], bool]) -> Any:
        """What it is told once that is as it should be: dnsmasq takes files and signals in by and by."""
        deadline = time.monotonic() + 10
        while not condition(told := self.ask(number)):
            assert time.monotonic() < deadline, told
        return told

    def new_driver(self) -> None: ...

    def crash(self) -> None: ...

    def close(self) -> None: ...


class SimulatedSite(Site):
    def __init__(self, runner: asyncio.Runner, folder: Path) -> None:
        super().__init__(runner)
        self.file = folder / "state.json"
        self.network = DhcpNetwork(network_id="n1", interface="eth0", subnets=(SUBNET,), mtu=1450)
        self.servers = SimulatedDhcp(self.file)

    def ask(self, number: int) -> dict[str, Any] | None:
        assert isinstance(self.servers, SimulatedDhcp)
        offer = self.servers.ask("n1", host(number).mac)
        if offer is None:
            return None
        routes = offer.options.get("classless-static-route", "")
        words = routes.split(",") if routes else []
        return {
            "address": offer.address,
            "lease_s": offer.lease_s,
            "hostname": offer.hostname,
            "router": offer.options.get("router"),
            "resolvers": [text for text in offer.options.get("dns-server", "").split(",") if text],
            "mtu": int(offer.options["mtu"]) if "mtu" in offer.options else None,
            "routes": [",".join(pair) for pair in zip(words[::2], words[1::2], strict=True)],
            "domain": offer.options.get("domain-name"),
        }

    def new_driver(self) -> None:
        self.servers = SimulatedDhcp(self.file)

    def crash(self) -> None:
        assert isinstance(self.servers, SimulatedDhcp)
        self.servers.crash("n1")


class RealSite(Site):
    def __init__(self, runner: asyncio.Runner, folder: Path) -> None:
        super().__init__(runner)
        self.folder = folder
        number = f"{os.getpid()}-{next(_numbers)}"
        self.server, self.client = f"plds-{number}", f"pldc-{number}"
        for namespace in (self.server, self.client):
            self.ip("netns", "add", namespace)
        self.ip(
            "-n", self.server, "link", "add", "dhcp", "type", "veth", "peer", "eth0", "netns", self.client
        )
        for address in (SUBNET.server, OTHER.server):
            self.ip("-n", self.server, "address", "add", f"{address}/24", "dev", "dhcp")
        for namespace, link in ((self.server, "lo"), (self.server, "dhcp"), (self.client, "eth0")):
            self.ip("-n", namespace, "link", "set", link, "up")
        subprocess.run(
            ["ip", "netns", "exec", self.server, "ethtool", "-K", "dhcp", "tx", "off"],
            check=False,
            capture_output=True,
        )
        self.network = DhcpNetwork(
            network_id="n1", interface="dhcp", namespace=self.server, subnets=(SUBNET,), mtu=1450
        )
        self.new_driver()

    def ip(self, *arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True)

    def ask(self, number: int) -> dict[str, Any] | None:
        command = ["ip", "netns", "exec", self.client, sys.executable, str(CLIENT), "eth0", host(number).mac]
        told = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        if told is not None:
            del told["server"]
        return told

    def new_driver(self) -> None:
        self.servers = Dnsmasq(self.folder / "dhcp")

    def pid(self) -> int:
        return int((self.folder / "dhcp" / "n1" / "pid").read_text())

    def crash(self) -> None:
        os.kill(self.pid(), signal.SIGKILL)

    def close(self) -> None:
        self.run(self.servers.remove(["n1"]))
        for namespace in (self.server, self.client):
            self.ip("netns", "del", namespace)


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.real)])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    if request.param == "real" and (reason := why_not_real()) is not None:
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="pld-"))
    folder.chmod(0o755)
    with asyncio.Runner() as runner:
        site = (RealSite if request.param == "real" else SimulatedSite)(runner, folder)
        yield site
        site.close()
    shutil.rmtree(folder)


def test_a_port_is_told_all_and_others_nothing(site: Site) -> None:
    subnet = replace(SUBNET, routes=(DhcpRoute("169.254.169.254/32", "10.7.0.2"),))
    applied = site.apply(hosts=(host(5),), subnets=(subnet,))
    assert applied.started and applied.written == 3
    assert site.ask(5) == {
        "address": "10.7.0.5",
        "lease_s": 86400,
        "hostname": "host-5",
        "router": "10.7.0.1",
        "resolvers": ["9.9.9.9", "8.8.8.8"],
        "mtu": 1450,
        "routes": ["169.254.169.254/32,10.7.0.2", "0.0.0.0/0,10.7.0.1"],
        "domain": None,
    }
    assert site.ask(6) is None
    assert site.run(site.servers.running()) == {"n1"}
    (lease,) = site.run(site.servers.leases("n1"))
    assert (lease.address, lease.mac, lease.hostname) == ("10.7.0.5", host(5).mac, "host-5")


def test_a_second_pass_does_nothing(site: Site) -> None:
    site.apply(hosts=(host(5), host(6)))
    assert site.apply().nothing
    site.new_driver()
    assert site.apply().nothing


def test_an_addition_needs_no_signal(site: Site) -> None:
    site.apply(hosts=(host(5),))
    applied = site.apply(hosts=(host(5), host(6, options=(DhcpOption("mtu", "1300"),))))
    assert applied == Applied(written=2)
    told = site.asked_until(6, lambda told: told is not None)
    assert (told["address"], told["mtu"]) == ("10.7.0.6", 1300)


def test_a_change_is_one_signal(site: Site) -> None:
    site.apply(hosts=(host(5), host(6)))
    assert site.ask(5) is not None
    subnet = replace(SUBNET, gateway="10.7.0.254", resolvers=())
    applied = site.apply(hosts=(host(5, "10.7.0.50"), host(6)), subnets=(subnet,))
    assert (applied.signalled, applied.restarted, applied.written) == (True, False, 2)
    told = site.asked_until(5, lambda told: told is not None and told["address"] == "10.7.0.50")
    assert (told["router"], told["resolvers"]) == ("10.7.0.254", [])


def test_a_removed_ports_address_serves_another_at_once(site: Site) -> None:
    site.apply(hosts=(host(5), host(6)))
    assert site.ask(5) is not None
    applied = site.apply(hosts=(host(6),))
    assert (applied.signalled, applied.deleted, applied.released) == (True, 1, 1)
    site.asked_until(5, lambda told: told is None)
    assert site.run(site.servers.leases("n1")) == []
    site.apply(hosts=(host(6), host(7, "10.7.0.5")))
    assert site.asked_until(7, lambda told: told is not None)["address"] == "10.7.0.5"


def test_an_address_may_go_straight_from_one_port_to_another(site: Site) -> None:
    site.apply(hosts=(host(5), host(6)))
    assert site.ask(5) is not None
    site.apply(hosts=(host(6, "10.7.0.5"),))
    assert site.asked_until(6, lambda told: told is not None)["address"] == "10.7.0.5"


def test_options_of_a_ports_own_change_without_losing_the_lease(site: Site) -> None:
    site.apply(hosts=(host(5, options=(DhcpOption("mtu", "1300"),)), host(6)))
    told = site.ask(5)
    assert told is not None and told["mtu"] == 1300
    # dnsmasq up to 2.90 would die of a signal here.
    applied = site.apply(hosts=(host(5, options=(DhcpOption("mtu", "1280"),)), host(6)))
    assert applied.restarted and not applied.signalled
    told = site.asked_until(5, lambda told: told is not None and told["mtu"] == 1280)
    assert site.ask(6) is not None
    assert site.apply(hosts=(host(5), host(6))).restarted
    told = site.ask(5)
    assert told is not None and (told["address"], told["mtu"]) == ("10.7.0.5", 1450)
    assert site.apply(hosts=(host(6),)).signalled
    site.asked_until(5, lambda told: told is None)
    assert site.ask(6) is not None, "it lives"


def test_two_subnets(site: Site) -> None:
    site.apply(hosts=(host(5),))
    applied = site.apply(subnets=(SUBNET, OTHER), hosts=(host(5), host(6, "10.8.0.6")))
    assert applied.restarted, "another subnet is another argument"
    told = site.ask(6)
    assert told is not None
    assert (told["address"], told["router"], told["resolvers"]) == ("10.8.0.6", None, [])
    five = site.ask(5)
    assert five is not None and five["router"] == "10.7.0.1"


def test_a_server_that_died_is_started_with_its_leases(site: Site) -> None:
    site.apply(hosts=(host(5),))
    assert site.ask(5) is not None
    site.crash()
    deadline = time.monotonic() + 5
    while site.run(site.servers.running()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert site.run(site.servers.running()) == set()
    assert site.run(site.servers.known()) == {"n1"}
    applied = site.apply()
    assert applied.started and applied.written == 0
    assert [lease.address for lease in site.run(site.servers.leases("n1"))] == ["10.7.0.5"]
    told = site.ask(5)
    assert told is not None and told["address"] == "10.7.0.5"


def test_a_removed_network_leaves_nothing(site: Site) -> None:
    site.apply(hosts=(host(5),))
    site.run(site.servers.remove(["n1"]))
    site.run(site.servers.remove(["n1"]))
    assert site.run(site.servers.known()) == set()
    assert site.ask(5) is None
    assert site.run(site.servers.leases("n1")) == []


@pytest.mark.parametrize(
    "wrong",
    [
        host(5, options=(DhcpOption("mtu", "1\ndhcp-host=x"),)),
        host(5, options=(DhcpOption("mtu,tag", "1"),)),
        replace(host(5), hostname="a,b"),
        replace(host(5), mac="fa:16"),
        replace(host(5), addresses=("10.0.0.5,x",)),
    ],
)
def test_nothing_slips_into_the_files(site: Site, wrong: DhcpHost) -> None:
    with pytest.raises(DhcpFailed) as caught:
        site.apply(hosts=(wrong,))
    assert list(caught.value.reasons) == ["n1"]


# Solicits an address (RFC 8415) until somebody advertises one; prints it and the resolvers.
_CLIENT6 = """
import ipaddress, os, socket, struct, sys, time
index = socket.if_nametoindex("eth0")
mac = bytes.fromhex(sys.argv[1].replace(":", ""))
client = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
client.bind(("::", 546))
client.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
client.settimeout(0.3)
option = lambda kind, data: struct.pack("!HH", kind, len(data)) + data
ask = b"\\x01" + os.urandom(3) + option(1, b"\\0\\x03\\0\\x01" + mac)
ask += option(3, b"pile" + bytes(8)) + option(8, bytes(2)) + option(6, struct.pack("!H", 23))
deadline = time.monotonic() + float(sys.argv[2])
def options(data):
    while data:
        kind, length = struct.unpack("!HH", data[:4])
        yield kind, data[4 : 4 + length]
        data = data[4 + length :]
while time.monotonic() < deadline:
    try:
        client.sendto(ask, ("ff02::1:2", 547, 0, index))
        reply = client.recv(2000)
    except OSError:
        time.sleep(0.1)  # the link-local address is not settled, or nobody answered
        continue
    for kind, data in options(reply[4:]):
        if kind == 3:
            for inner, address in options(data[12:]):
                if inner == 5:
                    print("address", ipaddress.IPv6Address(address[:16]))
        if kind == 23:
            print("resolver", ipaddress.IPv6Address(data[:16]))
    break
"""


@pytest.mark.real
def test_an_ipv6_address_is_given_to_its_port() -> None:
    if (reason := why_not_real()) is not None:
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="pld-"))
    folder.chmod(0o755)
    with asyncio.Runner() as runner:
        site = RealSite(runner, folder)
        site.ip("-n", site.server, "address", "add", "fd00:7::2/64", "dev", "dhcp", "nodad")
        site.ip("-n", site.client, "link", "set", "eth0", "down")
        site.ip("-n", site.client, "link", "set", "eth0", "address", host(5).mac)
        site.ip("-n", site.client, "link", "set", "eth0", "up")
        subnet = DhcpSubnet(id="s6", cidr="fd00:7::/64", resolvers=("fd00:7::53",))
        site.apply(subnets=(SUBNET, subnet), hosts=(host(5, "10.7.0.5", "fd00:7::5"),))

        def solicit(timeout_s: float) -> list[str]:
            command = [sys.executable, "-c", _CLIENT6, host(5).mac, str(timeout_s)]
            inside = ["ip", "netns", "exec", site.client, *command]
            return subprocess.run(inside, check=True, capture_output=True, text=True).stdout.split("\n")[:-1]

        assert sorted(solicit(10)) == ["address fd00:7::5", "resolver fd00:7::53"]
        assert site.apply(hosts=(host(5, "10.7.0.5", "fd00:7::77"),)).signalled
        deadline = time.monotonic() + 10
        while "address fd00:7::77" not in (told := solicit(2)):
            assert time.monotonic() < deadline, told
        site.close()
    shutil.rmtree(folder)


@pytest.mark.real
def test_a_lost_pid_file_and_a_namespace_made_anew() -> None:
    if (reason := why_not_real()) is not None:
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="pld-"))
    folder.chmod(0o755)
    with asyncio.Runner() as runner:
        site = RealSite(runner, folder)
        site.apply(hosts=(host(5),))
        number = site.pid()
        (folder / "dhcp" / "n1" / "pid").unlink()
        assert site.apply().nothing
        assert site.run(site.servers.running()) == {"n1"}
        os.kill(number, 0)  # it is the same one
        site.ip("netns", "del", site.server)
        site.ip("netns", "add", site.server)
        assert site.apply().restarted
        site.close()
    shutil.rmtree(folder)


def test_thousands_of_ports_are_no_storm_of_reloads(site: Site) -> None:
    def port(number: int) -> DhcpHost:
        low, high = number & 255, number >> 8
        mac, address = f"fa:16:3e:01:{high:02x}:{low:02x}", f"10.7.{high + 1}.{low}"
        return replace(host(5), port_id=f"m{number}", mac=mac, addresses=(address,), hostname=None)

    wide = replace(SUBNET, cidr="10.7.0.0/16")
    ports = [port(number) for number in range(1, 3000)]
    site.apply(subnets=(wide,), hosts=tuple(ports[:1000]))
    took = [site.apply(hosts=tuple(ports[:count])) for count in range(1100, 3000, 100)]
    # Ports that come cost a file each, which dnsmasq finds by itself.
    assert {(one.written, one.signalled, one.restarted) for one in took} == {(100, False, False)}
    took = [site.apply(hosts=tuple(ports[gone:])) for gone in (300, 600)]
    # Those that go cost a signal for all of them together.
    assert {(one.deleted, one.signalled, one.restarted) for one in took} == {(300, True, False)}
    assert site.apply().nothing
    site.apply(hosts=(*ports[600:], host(5)))
    assert site.asked_until(5, lambda told: told is not None)["address"] == "10.7.0.5"
