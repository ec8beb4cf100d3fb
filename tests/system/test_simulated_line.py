"""The line from a token to a port that is wired, on two simulated hosts; and back to nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.clouds import NETWORK, Cloud, simulated_cloud, until


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with simulated_cloud() as cloud:
        yield cloud


def test_from_a_network_to_wired_ports_on_two_hosts_and_back_to_nothing(cloud: Cloud) -> None:
    api = cloud.api
    until(lambda: all("vxlan" in one.text() for one in cloud.all_installed().values()))
    bare = {host: one.lasting() for host, one in cloud.settled().items()}

    network = api.network("line", "10.2.0.0/24", dhcp=False)
    api.port(network, name="left", host="host-1")
    api.port(network, name="right")
    left, right = (api.ports(name=name)[0] for name in ("left", "right"))
    assert (left["status"], left["binding:vif_type"]) == ("DOWN", "ovs")
    assert (right["status"], right["binding:vif_type"]) == ("DOWN", "unbound")

    assert cloud.do("plug", "left") == "Port left is ACTIVE on host-1.\n"
    assert cloud.do("plug", right["id"], "--host", "host-2") == f"Port {right['id']} is ACTIVE on host-2.\n"
    assert {port["status"] for port in api.ports()} == {"ACTIVE"}
    assert api.ports(name="right")[0]["binding:host_id"] == "host-2"

    def leads(host: str, port: dict[str, Any]) -> bool:
        """Whether ``host`` sends what is for ``port`` into the tunnel."""
        return any(f"dl_dst={port['mac_address']}" in flow for flow in cloud.installed(host).flows["br-tun"])

    until(lambda: leads("host-1", right) and leads("host-2", left))
    assert not leads("host-1", left)

    again = cloud.run("plug", "left", "--host", "host-2")
    assert again.returncode == 78
    assert "is bound to host-1, not to host-2" in again.stderr
    assert cloud.do("unplug", "left") == "Port left has no guest any more.\n"
    assert api.ports(name="left")[0]["status"] == "DOWN"
    assert api.ports(name="left")[0]["binding:host_id"] == ""
    cloud.do("plug", "left", "--host", "host-2")  # moved
    assert api.ports(name="left")[0]["binding:host_id"] == "host-2"
    until(
        lambda: cloud.installed("host-1").lasting() == bare["host-1"],
        told=lambda: "\n".join(cloud.installed("host-1").lines()),
    )

    for port in ("left", "right"):
        cloud.do("unplug", port)
    api.delete("ports", *(port["id"] for port in api.ports()))
    api.delete("networks", network)
    assert api.call("GET", f"{NETWORK}/subnets")["subnets"] == []
    until(
        lambda: {host: one.lasting() for host, one in cloud.all_installed().items()} == bare,
        told=lambda: "\n".join(line for one in cloud.all_installed().values() for line in one.lines()),
    )


def test_a_port_that_is_unplugged_by_others_is_down_at_once(cloud: Cloud) -> None:
    network = cloud.api.network("lost", "10.3.0.0/24")
    port = cloud.api.port(network, host="host-1")
    cloud.plug("host-1", port)
    until(lambda: cloud.api.status(port) == "ACTIVE")
    cloud.unplug("host-1", port)
    until(lambda: cloud.api.status(port) == "DOWN")
    cloud.plug("host-1", port)
    until(lambda: cloud.api.status(port) == "ACTIVE")


def test_what_cannot_be_plugged_says_why(cloud: Cloud) -> None:
    network = cloud.api.network("why", "10.4.0.0/24")
    for name in ("lonely", "twin", "twin"):
        cloud.api.port(network, name=name)
    for arguments, reason in (
        (["nobody"], "there is no port nobody"),
        (["a/b?c"], "neither a port's id nor a name"),
        (["twin"], "2 ports are called twin"),
        (["lonely", "--host", "host-9"], "no living agent there carries its network"),
    ):
        refused = cloud.run("plug", *arguments)
        assert refused.returncode == 78
        assert reason in refused.stderr, refused.stderr
    refused = cloud.run("unplug", "twin")
    assert refused.returncode == 78


def test_a_hundred_ports_at_once_are_active_soon(cloud: Cloud) -> None:
    network = cloud.api.network("many", "10.5.0.0/24")
    body = {"ports": [{"network_id": network, "binding:host_id": "host-2"} for _ in range(100)]}
    ports = [port["id"] for port in cloud.api.call("POST", f"{NETWORK}/ports", body)["ports"]]
    cloud.plug("host-2", *ports)
    until(lambda: len(cloud.api.ports(network_id=network, status="ACTIVE")) == 100, within_s=10)
    cloud.unplug("host-2", *ports[:50])
    until(lambda: len(cloud.api.ports(network_id=network, status="DOWN")) == 50, within_s=10)
