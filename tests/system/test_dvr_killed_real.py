"""Real processes are killed with SIGKILL while a distributed router carries 1,000 packets a second, on each
of its ways: in and out by floating IPs that the guest's host translates, between subnets on two hosts, and
out by the network node's source NAT.

A control stream tells a starved machine from a fault: it crosses the switches of all hosts, in bridges that
no agent knows. When a switch gets no processor both lose; when somebody takes flows away the others alone do.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.clouds import NETWORK, PILEUS, Cloud, short_folder, until
from tests.system.cloud_world import BEYOND, OUTSIDE
from tests.system.first import FIRST, prefer_switch
from tests.system.node_world import REAL

from pileus.app.lab.cloud import lab_of
from pileus.app.lab.lab import PHYSICAL_BRIDGE, PHYSICAL_NETWORK, Lab
from pileus.drivers.netlink.links import Address, Veth
from pileus.drivers.netlink.linux import LinuxLinks
from pileus.drivers.ovsdb.edit import Edit

pytestmark = [*REAL, pytest.mark.alone, pytest.mark.nightly]
TRAFFIC = str(Path(__file__).with_name("traffic.py"))
RATE = 1000
LOST_BY_CHANCE = RATE // 50
"""Packets in 20 ms. An agent that begins by taking flows away leaves them away for a second and more."""
HOSTS = 3
CONTROL = "br-control"
GUESTS = ("in", "n1", "one"), ("out", "n1", "one"), ("east", "n1", "one"), ("west", "n2", "two")


class Site:
    """A cloud on three hosts: ``out`` and ``in`` on n1 have floating IPs, ``east`` has none; ``west`` is on
    n2 and another subnet. n3 is the network node, whose agents the test starts itself."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self.cloud = cloud
        known = lab_of(cloud.folder)
        assert known is not None
        name = str(json.loads(cloud.folder.lab.read_text())["name"])
        datapath = known.hosts["n1"].datapath_type
        self.lab = Lab(HOSTS, cloud.folder.root / "lab", name, datapath)
        self.outside, self.control = f"{name}-out", (f"{name}-c1", f"{name}-c{HOSTS}")
        self._name, self._folder = name, folder
        self._network_node: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        asyncio.run(self.lab.open())  # one host more
        asyncio.run(self._lay_outside())
        asyncio.run(self._lay_control())
        self._start_network_node()
        api = self.cloud.api
        public = api.network("public", **{
            "router:external": True, "provider:network_type": "flat",
            "provider:physical_network": PHYSICAL_NETWORK,
        })  # fmt: skip
        subnet = {"network_id": public, "ip_version": 4, "cidr": "203.0.113.0/24", "gateway_ip": OUTSIDE}
        api.call("POST", f"{NETWORK}/subnets", {"subnet": {**subnet, "enable_dhcp": False}})
        (group,) = api.call("GET", f"{NETWORK}/security-groups?name=default")["security_groups"]
        rule = {"security_group_id": group["id"], "direction": "ingress"}
        api.call("POST", f"{NETWORK}/security-group-rules", {"security_group_rule": rule})
        body: dict[str, Any] = {"distributed": True, "external_gateway_info": {"network_id": public}}
        router = api.call("POST", f"{NETWORK}/routers", {"router": body})["router"]["id"]
        networks = {}
        for name, cidr in (("one", "10.91.0.0/24"), ("two", "10.92.0.0/24")):
            networks[name] = api.network(name, cidr)
            inner = api.call("GET", f"{NETWORK}/subnets?network_id={networks[name]}")["subnets"][0]["id"]
            api.call("PUT", f"{NETWORK}/routers/{router}/add_router_interface", {"subnet_id": inner})
        floating = {}
        for name, host, network in GUESTS:
            port = api.port(networks[network], name=name)
            assert "is ACTIVE" in self.cloud.do("plug", name, "--host", host)
            if name in ("in", "out"):
                body = {"floating_network_id": public, "port_id": port}
                made = api.call("POST", f"{NETWORK}/floatingips", {"floatingip": body})["floatingip"]
                floating[name] = made["floating_ip_address"]
        self.floating = floating
        west = api.ports(name="west")[0]["fixed_ips"][0]["ip_address"]
        self.ways = {
            "to a floating IP": Way(self.outside, "guest-in", floating["in"], 5001),
            "from a floating IP": Way("guest-out", self.outside, BEYOND, 5002),
            "between subnets": Way("guest-east", "guest-west", west, 5003),
            "by source NAT": Way("guest-west", self.outside, BEYOND, 5004),
        }
        for way in self.ways.values():
            until(lambda way=way: pings(way.sender, way.address), 60, told=self.logs)
        for address in floating.values():  # by the guest's own host, not by the network node
            until(lambda at=address: f"nat(src={at})" in self.flows("n1"), 60, told=self.logs)

    def flows(self, host: str) -> str:
        return self._ofctl(host, "br-int", "dump-flows")

    def _ofctl(self, host: str, bridge: str, verb: str, *more: str) -> str:
        target = f"unix:{self.lab.hosts[host].run_dir}/{bridge}.mgmt"
        command = ["ovs-ofctl", "-O", "OpenFlow15", verb, target, *more]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout

    def logs(self) -> str:
        return self.cloud.logs() + (self._folder / "n3.log").read_text()

    # -- what stands around the cloud

    async def _lay_outside(self) -> None:
        wire, links = f"{self._name}-wire", LinuxLinks()
        await links.ensure_namespaces([self.outside])
        await LinuxLinks(wire).ensure_veths([Veth("out", "eth0", self.outside)])
        subprocess.run(["ip", "-n", wire, "link", "set", "out", "master", "physical"], check=True)
        await links.ensure_addresses(
            [Address(self.outside, "eth0", f"{OUTSIDE}/24"), Address(self.outside, "lo", f"{BEYOND}/32")]
        )

    async def _lay_control(self) -> None:
        """A bridge on each host's switch, one behind the other, and a namespace at both ends."""
        links, hosts = LinuxLinks(), list(self.lab.hosts.values())
        ends = zip(self.control, (hosts[0], hosts[-1]), strict=True)
        await links.ensure_namespaces(self.control)
        ports: dict[str, list[str]] = {host.name: [] for host in hosts}
        for number, (namespace, host) in enumerate(ends, 1):
            await LinuxLinks(host.namespace).ensure_veths([Veth(f"end{number}", "eth0", namespace)])
            ports[host.name].append(f"end{number}")
            await links.ensure_addresses([Address(namespace, "eth0", f"198.18.0.{number}/24")])
        for number, (one, other) in enumerate(itertools.pairwise(hosts), 1):
            here, there = f"chain{number}", f"chained{number}"
            await LinuxLinks(one.namespace).ensure_veths([Veth(here, there, other.namespace)])
            ports[one.name].append(here)
            ports[other.name].append(there)
        for host in hosts:
            await LinuxLinks(host.namespace).set_up(ports[host.name])
            client = host.client()
            await client.connect(15)
            edit = Edit(client)
            edit.ensure_bridge(CONTROL, datapath_type=host.datapath_type)
            for port in ports[host.name]:
                edit.ensure_port(CONTROL, port)
            await edit.commit(wait_s=15)
            await client.close()
            self._ofctl(host.name, CONTROL, "add-flow", "priority=0,actions=NORMAL")
        until(lambda: pings(self.control[0], "198.18.0.2"))

    def _start_network_node(self) -> None:
        """``pileus agent`` with routers, in the namespace of n3."""
        host, state = self.lab.hosts["n3"], self._folder / "n3"
        state.mkdir(exist_ok=True)
        token = state / "token"
        if not token.exists():
            said = subprocess.run(
                [*PILEUS, "node", "token", "n3", "--state", str(self.cloud.folder.root)],
                capture_output=True, check=True, timeout=60,
            ).stdout  # fmt: skip
            token.touch(0o600)
            token.write_bytes(said)
            (state / "pileus.toml").write_text(
                f"[agent]\nhost = 'n3'\nserver = 'unix:{self.cloud.folder.socket}'\ntoken_file = '{token}'\n"
                "duties = ['l3']\n[hypervisor]\ndriver = 'none'\n"
                f"[switch]\novsdb = '{host.daemons.address}'\ndatapath_type = '{host.datapath_type}'\n"
                f"tunneling_ip = '{host.underlay_ip}'\n"
                f"bridge_mappings = ['{PHYSICAL_NETWORK}:{PHYSICAL_BRIDGE}']\n"
            )
        self._network_node = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{host.namespace}", *PILEUS, "agent", "--state", str(state)],
            stdout=(self._folder / "n3.log").open("ab"),
            stderr=subprocess.STDOUT,
        )

    def prefer_the_switches(self) -> None:
        for host in self.lab.hosts.values():
            prefer_switch(host.run_dir)

    # -- who dies

    def kill_all(self) -> None:
        """Kill the server, the switch agents and the network node's L3 agent at once; wait for their
        successors."""
        before = [self.cloud.send_signal(name) for name in ("server", "agent-n1", "agent-n2")]
        self.kill_network_node()
        log = self._folder / "n3.log"
        said = log.stat().st_size
        self._start_network_node()
        until(lambda: self._all_ready(before), 90, told=self.logs)
        until(lambda: "the agents are ready" in log.read_text()[said:], 90, told=self.logs)

    def _all_ready(self, without: list[int]) -> bool:
        return all(one["ready"] and one["pid"] not in without for one in self.cloud.told()["processes"])

    def kill_network_node(self) -> None:
        if self._network_node is not None:
            self._network_node.kill()
            self._network_node.wait()


class Way(NamedTuple):
    """Who sends to whom."""

    sender: str
    receiver: str
    address: str
    port: int


def pings(namespace: str, address: str) -> bool:
    command = ["ip", "netns", "exec", namespace, "ping", "-n", "-c", "1", "-W", "1", address]
    return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0


class Stream:
    """Packets from one namespace to another, counted at both ends."""

    def __init__(self, way: Way) -> None:
        self._receiver = self._run(way.receiver, "receive", str(way.port))
        assert self._receiver.stdout is not None and self._receiver.stdout.readline() == "ready\n"
        self._sender = self._run(way.sender, "send", way.address, str(way.port), str(RATE), "300")

    @staticmethod
    def _run(namespace: str, *arguments: str) -> subprocess.Popen[str]:
        command = [*FIRST, "ip", "netns", "exec", namespace, sys.executable, "-u", TRAFFIC, *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def end(self) -> tuple[int, int]:
        """How many were sent, and how many of them never came."""
        self._sender.terminate()
        sent = int(self._sender.communicate(timeout=60)[0])
        time.sleep(0.5)  # the last ones are on their way
        self._receiver.send_signal(signal.SIGTERM)
        came = int(json.loads(self._receiver.communicate(timeout=60)[0])["packets"])
        return sent, max(0, sent - came)

    def close(self) -> None:
        for child in (self._sender, self._receiver):
            child.kill()
            child.wait()


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with short_folder() as folder:
        cloud = Cloud(folder / "c")
        site = None
        try:
            cloud.do("lab", "2", "--detach", "--listen", cloud.address)
            site = Site(cloud, folder)
            site.make()
            site.prefer_the_switches()
            yield site
        finally:
            if site is not None:
                site.kill_network_node()
            cloud.end()


@pytest.mark.parametrize(
    "name", ["to a floating IP", "from a floating IP", "between subnets", "by source NAT"]
)
def test_no_packet_is_lost_when_server_and_agents_are_killed(site: Site, name: str) -> None:
    way = site.ways[name]
    streams: list[Stream] = []
    try:
        streams += [Stream(way), Stream(Way(*site.control, "198.18.0.2", 5005))]
        time.sleep(0.5)
        site.kill_all()
        time.sleep(1)
        (sent, lost), (_, starved) = [stream.end() for stream in streams]
    finally:
        for stream in streams:
            stream.close()
    print(f"{name}: {lost} of {sent} lost, {starved} of the control stream")
    assert sent > RATE
    assert lost <= LOST_BY_CHANCE + starved
    assert pings(way.sender, way.address)
    for address in site.floating.values():
        assert f"nat(src={address})" in site.flows("n1")
