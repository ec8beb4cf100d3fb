"""Agents and servers of a whole cloud are killed with SIGKILL, under 1,000 packets a second by a router, a
floating IP, a forwarded port and source NAT: packets are counted.

The cloud runs in a network namespace of its own, which is also the world outside that speaks to floating IPs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.clouds import NETWORK, Cloud, short_folder, until
from tests.system.first import FIRST, prefer_switch
from tests.system.node_world import why_not_real

from pileus.app.nodes.switch import SYSTEM_RUN

pytestmark = [
    pytest.mark.real,
    pytest.mark.alone,
    pytest.mark.skipif(why_not_real() is not None, reason=why_not_real() or ""),
    pytest.mark.skipif((SYSTEM_RUN / "db.sock").exists(), reason="the machine's own Open vSwitch runs"),
]

NAMESPACE = f"plk-{os.getpid()}"
INNER, OTHER = f"{NAMESPACE}-a", f"{NAMESPACE}-b"
TRAFFIC = str(Path(__file__).with_name("traffic.py"))
KILLS = 2
RATE = 1000
SETTINGS = '[switch]\nbridge_mappings = ["physnet1:br-ex"]\n'
OUTSIDE = "203.0.113.1"
ADDRESS = """
import asyncio, sys
from pileus.app.nodes.external_address import ensure_external_address
from pileus.drivers.ovsdb.client import OvsdbClient
async def main():
    client = OvsdbClient("unix:" + sys.argv[1])
    await client.connect(15)
    await ensure_external_address(client, "br-ex", "netdev", sys.argv[2])
    await client.close()
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    try:
        subprocess.run(["ip", "-n", NAMESPACE, "link", "set", "lo", "up"], check=True)
        with short_folder() as folder:
            enter = ("nsenter", f"--net=/run/netns/{NAMESPACE}", "--")
            cloud = Cloud(folder / "c", settings=SETTINGS, enter=enter)
            try:
                cloud.up()
                yield cloud
            finally:
                cloud.end()
    finally:
        subprocess.run(["ip", "netns", "del", NAMESPACE], check=True)


class Way(NamedTuple):
    """Who sends to whom: to a port of an address, which is received at a port."""

    sender: str
    receiver: str
    address: str
    port: str
    received_at: str


def program(namespace: str, *arguments: str) -> subprocess.Popen[str]:
    """traffic.py in a namespace, after it said that it is ready."""
    command = [*FIRST, "ip", "netns", "exec", namespace, sys.executable, "-u", TRAFFIC, *arguments]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    if arguments[0] == "receive":
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    return child


def pings(namespace: str, address: str) -> bool:
    command = ["ip", "netns", "exec", namespace, "ping", "-n", "-c", "1", "-W", "1", address]
    return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0


def site(cloud: Cloud) -> tuple[str, str, str]:
    """Two guests on two networks with a router to the world outside; the floating IP of the first, the fixed
    address of the second, and an address outside whose port 5300 leads to port 5003 of the second."""
    api = cloud.api
    public = api.network("public", **{
        "router:external": True, "provider:network_type": "flat", "provider:physical_network": "physnet1",
    })  # fmt: skip
    subnet = {"network_id": public, "ip_version": 4, "cidr": "203.0.113.0/24", "gateway_ip": OUTSIDE}
    api.call("POST", f"{NETWORK}/subnets", {"subnet": {**subnet, "enable_dhcp": False}})
    group = api.call("GET", f"{NETWORK}/security-groups?name=default")["security_groups"][0]["id"]
    rule = {"security_group_id": group, "direction": "ingress"}
    api.call("POST", f"{NETWORK}/security-group-rules", {"security_group_rule": rule})
    body: dict[str, Any] = {"name": "r", "external_gateway_info": {"network_id": public}}
    router = api.call("POST", f"{NETWORK}/routers", {"router": body})["router"]["id"]
    ports = {}
    for name, cidr in ((INNER, "10.91.0.0/24"), (OTHER, "10.92.0.0/24")):
        network = api.network(name, cidr)
        inner = api.call("GET", f"{NETWORK}/subnets?network_id={network}")["subnets"][0]["id"]
        api.call("PUT", f"{NETWORK}/routers/{router}/add_router_interface", {"subnet_id": inner})
        ports[name] = api.port(network, name=name)
        assert "is ACTIVE" in cloud.do("plug", name)
    floating = {"floating_network_id": public, "port_id": ports[INNER]}
    fip = api.call("POST", f"{NETWORK}/floatingips", {"floatingip": floating})["floatingip"]
    database = str(cloud.folder.agent / "ovs" / "db.sock")
    enter = ["nsenter", f"--net=/run/netns/{NAMESPACE}", "--"]
    subprocess.run([*enter, sys.executable, "-c", ADDRESS, database, f"{OUTSIDE}/24"], check=True, timeout=60)
    fixed = api.ports(name=OTHER)[0]["fixed_ips"][0]["ip_address"]
    address = fip["floating_ip_address"]
    forwarded = _forwarded(api, public, ports[OTHER], fixed)
    until(lambda: pings(NAMESPACE, address), told=cloud.logs)
    until(lambda: pings(f"guest-{INNER}", fixed), told=cloud.logs)
    until(lambda: reaches(forwarded), told=cloud.logs)
    return address, fixed, forwarded


def _forwarded(api: Any, public: str, port_id: str, fixed: str) -> str:
    body = {"floatingip": {"floating_network_id": public}}
    outer = api.call("POST", f"{NETWORK}/floatingips", body)["floatingip"]
    forwarding = {
        "internal_port_id": port_id,
        "internal_ip_address": fixed,
        "internal_port": 5003,
        "external_port": 5300,
        "protocol": "udp",
    }
    path = f"{NETWORK}/floatingips/{outer['id']}/port_forwardings"
    api.call("POST", path, {"port_forwarding": forwarding})
    return str(outer["floating_ip_address"])


def reaches(forwarded: str) -> bool:
    """Whether a datagram comes through the forwarded port."""
    listening = program(f"guest-{OTHER}", "receive", "5003")
    try:
        program(NAMESPACE, "send", forwarded, "5300", "20", "0.5").communicate()
    finally:
        time.sleep(0.2)
        listening.terminate()
    return bool(json.loads(listening.communicate()[0])["packets"])


def kill_all(cloud: Cloud) -> None:
    """Kill the agents of the node and the server, one after the other and at different moments."""
    for _ in range(KILLS):
        before = cloud.send_signal("agent")
        cloud.until_ready(without=[before])
        time.sleep(1)
    # And in the middle of their first passes, at moments that differ.
    for number in range(KILLS):
        before = cloud.send_signal("agent")
        until(lambda before=before: cloud.pids()["agent"] not in (None, before))
        time.sleep(0.5 + 0.4 * number)
    cloud.until_ready()
    before = cloud.send_signal("server")
    cloud.until_ready(without=[before])
    time.sleep(1)


@pytest.fixture(scope="module")
def ways(cloud: Cloud) -> dict[str, Way]:
    address, fixed, forwarded = site(cloud)
    prefer_switch(cloud.folder.agent / "ovs")
    inner, other = f"guest-{INNER}", f"guest-{OTHER}"
    return {
        "in by a floating IP": Way(NAMESPACE, inner, address, "5001", "5001"),
        "between networks": Way(inner, other, fixed, "5002", "5002"),
        "by a forwarded port": Way(NAMESPACE, other, forwarded, "5300", "5003"),
        "out by a floating IP": Way(inner, NAMESPACE, OUTSIDE, "5004", "5004"),
        "out by source NAT": Way(other, NAMESPACE, OUTSIDE, "5005", "5005"),
    }


@pytest.mark.parametrize(
    "name",
    [
        *("in by a floating IP", "between networks", "by a forwarded port"),
        *(
            pytest.param(name, marks=pytest.mark.nightly)
            for name in ("out by a floating IP", "out by source NAT")
        ),
    ],
)
def test_no_packet_is_lost_when_agents_and_servers_are_killed(
    name: str, cloud: Cloud, ways: dict[str, Way]
) -> None:
    way = ways[name]
    listening = program(way.receiver, "receive", way.received_at)
    sending = program(way.sender, "send", way.address, way.port, str(RATE), "300")
    try:
        time.sleep(1)
        kill_all(cloud)
    finally:
        sending.terminate()
        sent = int(sending.communicate()[0])
        time.sleep(0.5)
        listening.terminate()
        came = json.loads(listening.communicate()[0])
    print(f"{name}: {came['packets']} of {sent} came")
    assert sent > RATE * KILLS
    # Who is told to stop may have sent one more than it has counted.
    assert came["packets"] in (sent, sent + 1) and not came["gaps"], came["gaps"]
