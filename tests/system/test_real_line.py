"""The real line, with real packets, while its parts are killed: Open vSwitch, namespaces as guests.

The cloud runs in a network namespace of its own, so that nothing here meets what else is on the machine.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.clouds import Cloud, is_gone, processes_naming, short_folder, until
from tests.switches import why_not_real

from pileus.app.nodes.switch import SYSTEM_RUN
from pileus.drivers.ovsdb.daemons import SwitchDaemons

pytestmark = [
    pytest.mark.real,
    pytest.mark.alone,
    pytest.mark.skipif(why_not_real() is not None, reason=why_not_real() or ""),
    pytest.mark.skipif((SYSTEM_RUN / "db.sock").exists(), reason="the machine's own Open vSwitch runs"),
]

NAMESPACE = f"plc-{os.getpid()}"
A, B = f"{NAMESPACE}-a", f"{NAMESPACE}-b"
"""The guests' names, which no other test has."""


def ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True, timeout=30).stdout


class Node:
    """One machine's cloud in a namespace, and its switch."""

    def __init__(self, folder: Path) -> None:
        # Only the network is another one: guests' namespaces are to be seen by all.
        enter = ("nsenter", f"--net=/run/netns/{NAMESPACE}", "--")
        self.cloud = Cloud(folder / "c", enter=enter)
        self.daemons = SwitchDaemons(self.cloud.folder.agent / "ovs")

    def flows(self) -> list[str]:
        """All flows, without counters and ages."""
        found = []
        for bridge in ("br-int", "br-tun"):
            target = f"unix:{self.daemons.run_dir / bridge}.mgmt"
            text = subprocess.run(
                ["ovs-ofctl", "-O", "OpenFlow14", "--no-stats", "--sort", "dump-flows", target],
                capture_output=True, text=True, timeout=30, check=False,
            ).stdout  # fmt: skip
            found += [f"{bridge} {line.strip()}" for line in text.splitlines() if "cookie" in line]
        return sorted(found)


@pytest.fixture
def node() -> Iterator[Node]:
    ip("netns", "add", NAMESPACE)
    try:
        ip("-n", NAMESPACE, "link", "set", "lo", "up")
        with short_folder() as folder:
            node = Node(folder)
            try:
                node.cloud.up()
                yield node
            finally:
                node.cloud.end()
    finally:
        ip("netns", "del", NAMESPACE)


def pings(source: str, address: str) -> bool:
    command = ["ip", "netns", "exec", f"guest-{source}", "ping", "-n", "-c", "1", "-W", "1", address]
    return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0


def guests(node: Node) -> dict[str, str]:
    """Two guests on a network whose group lets ping in; their addresses."""
    api = node.cloud.api
    network = api.network("real", "10.77.0.0/24")
    group = api.call("GET", "/networking/v2.0/security-groups?name=default")["security_groups"][0]["id"]
    rule = {"security_group_id": group, "direction": "ingress", "protocol": "icmp"}
    api.call("POST", "/networking/v2.0/security-group-rules", {"security_group_rule": rule})
    for name in (A, B):
        api.port(network, name=name)
        assert "is ACTIVE" in node.cloud.do("plug", name)
    return {port["name"]: port["fixed_ips"][0]["ip_address"] for port in api.ports()}


def mac_of(node: Node, name: str) -> str:
    return str(node.cloud.api.ports(name=name)[0]["mac_address"])


def test_everything_is_killed_in_turn_and_comes_back(node: Node) -> None:
    cloud = node.cloud
    addresses = guests(node)
    assert pings(A, addresses[B]) and pings(B, addresses[A])
    flows = node.flows()
    assert any(addresses[A] in flow for flow in flows)

    for part in ("agent", "server"):
        before = cloud.send_signal(part)
        assert pings(A, addresses[B]), f"without the {part} packets flow"
        cloud.until_ready(without=[before])
        cloud.api.close()
        assert pings(A, addresses[B])
        assert node.flows() == flows

    for program in ("ovs-vswitchd", "ovsdb-server"):
        pid = node.daemons.pid(program)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda pid=pid, program=program: node.daemons.pid(program) not in (None, pid))
        until(lambda: pings(A, addresses[B]), told=lambda: (node.flows(), cloud.logs()))
        until(lambda: node.flows() == flows, told=lambda: set(node.flows()) ^ set(flows))
    until(lambda: {port["status"] for port in cloud.api.ports()} == {"ACTIVE"})


def test_down_keeps_packets_flowing_and_purge_leaves_nothing(node: Node) -> None:
    cloud = node.cloud
    links = ip("-n", NAMESPACE, "-o", "link")
    addresses = guests(node)
    api = cloud.api
    until(
        lambda: {port["status"] for port in api.call("GET", "/networking/v2.0/ports")["ports"]} == {"ACTIVE"}
    )
    flows = node.flows()
    daemons = [node.daemons.pid(program) for program in ("ovs-vswitchd", "ovsdb-server")]
    cloud.down()
    assert pings(A, addresses[B]), "what was built stays"
    assert node.flows() == flows
    cloud.up()
    cloud.api.login()
    assert [node.daemons.pid(program) for program in ("ovs-vswitchd", "ovsdb-server")] == daemons
    assert {port["status"] for port in cloud.api.ports()} == {"ACTIVE"}
    assert node.flows() == flows

    cloud.do("unplug", A)
    assert f"guest-{A}" not in ip("netns", "list")
    mac = mac_of(node, A)
    networks = [network["id"] for network in cloud.api.call("GET", "/networking/v2.0/networks")["networks"]]
    until(lambda: not any(mac in flow for flow in node.flows()))
    cloud.down("--purge")
    assert not cloud.folder.root.exists()
    left = ip("netns", "list")
    assert not [name for name in (*networks, A, B) if name in left]
    assert {line.split(":")[1] for line in ip("-n", NAMESPACE, "-o", "link").splitlines()} <= {
        line.split(":")[1] for line in links.splitlines() if "br-" not in line and "ovs-" not in line
    }
    assert all(is_gone(pid) for pid in daemons if pid)
    assert processes_naming(str(cloud.folder.root)) == []


def test_deleting_everything_leaves_the_bridges_bare(node: Node) -> None:
    until(lambda: len(node.flows()) > 10)
    time.sleep(0.5)
    bare = node.flows()
    guests(node)
    assert node.flows() != bare
    for name in (A, B):
        node.cloud.do("unplug", name)
    api = node.cloud.api
    api.delete("ports", *(port["id"] for port in api.ports()))
    api.delete("networks", *(n["id"] for n in api.call("GET", "/networking/v2.0/networks")["networks"]))
    until(lambda: node.flows() == bare, told=lambda: set(node.flows()) ^ set(bare))
    until(lambda: "tap" not in ip("-n", NAMESPACE, "-o", "link"))
