"""A machine on a node of Linux bridges: its lease, its metadata, and a shell in it by a floating IP."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.clouds import NETWORK, Cloud, short_folder, until
from tests.system.node_world import REAL
from tests.system.test_hypervisor_real import image

from pileus.app.local import COMPUTE, IMAGE, LocalApi
from pileus.app.nodes.switch import SYSTEM_RUN

__all__ = ["image"]

pytestmark = [
    *REAL,
    pytest.mark.alone,
    pytest.mark.skipif((SYSTEM_RUN / "db.sock").exists(), reason="the machine's own Open vSwitch runs"),
]
NAMESPACE = f"plb-{os.getpid()}"
ENTER = ("nsenter", f"--net=/run/netns/{NAMESPACE}", "--")
SETTINGS = '[switch]\nmechanism = "linuxbridge"\ninterface_mappings = ["physnet1:card0"]\n'
OUTSIDE = "203.0.113.1"
BOOTED_WITHIN_S = 300.0


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """A cloud in a namespace, whose other end of the card is the world outside."""
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    inside = ("ip", "-n", NAMESPACE)
    try:
        for words in (
            ("link", "set", "lo", "up"),
            ("link", "add", "card0", "up", "type", "veth", "peer", "name", "wire0"),
            ("link", "set", "wire0", "up"),
            ("address", "add", f"{OUTSIDE}/24", "dev", "wire0"),
        ):
            subprocess.run([*inside, *words], check=True)
        with short_folder() as folder:
            cloud = Cloud(folder / "c", settings=SETTINGS, enter=ENTER)
            try:
                cloud.up()
                yield cloud
            finally:
                cloud.end()
    finally:
        subprocess.run(["ip", "netns", "del", NAMESPACE], check=True)


def site(cloud: Cloud) -> str:
    """A network behind a router to the world outside, into which ssh and pings are let; its id."""
    api = cloud.api
    public = api.network("public", **{
        "router:external": True, "provider:network_type": "flat", "provider:physical_network": "physnet1",
    })  # fmt: skip
    subnet = {"network_id": public, "ip_version": 4, "cidr": "203.0.113.0/24", "gateway_ip": OUTSIDE}
    api.call("POST", f"{NETWORK}/subnets", {"subnet": {**subnet, "enable_dhcp": False}})
    (group,) = api.call("GET", f"{NETWORK}/security-groups?name=default")["security_groups"]
    rule = {"security_group_id": group["id"], "direction": "ingress"}
    api.call("POST", f"{NETWORK}/security-group-rules", {"security_group_rule": rule})
    network = api.network("one", "10.93.0.0/24")
    (inner,) = api.call("GET", f"{NETWORK}/subnets?network_id={network}")["subnets"]
    body: dict[str, Any] = {"name": "r", "external_gateway_info": {"network_id": public}}
    router = api.call("POST", f"{NETWORK}/routers", {"router": body})["router"]["id"]
    api.call("PUT", f"{NETWORK}/routers/{router}/add_router_interface", {"subnet_id": inner["id"]})
    return network


def server(cloud: Cloud, image: Path, network: str, public_key: str) -> str:
    """Boot a server; its id."""
    with LocalApi(cloud.folder) as api:
        made = api.call("POST", f"{IMAGE}/images", {
            "name": "guest", "disk_format": "qcow2", "container_format": "bare", "min_ram": 128,
        })  # fmt: skip
        api.upload(f"{IMAGE}/images/{made['id']}/file", image)
        flavor = {"name": "small", "ram": 192, "vcpus": 1, "disk": 1}
        flavor_id = api.call("POST", f"{COMPUTE}/flavors", {"flavor": flavor})["flavor"]["id"]
        key = {"name": "key", "public_key": public_key}
        api.call("POST", f"{COMPUTE}/os-keypairs", {"keypair": key})
        body = {
            "name": "vm",
            "imageRef": made["id"],
            "flavorRef": flavor_id,
            "networks": [{"uuid": network}],
            "key_name": "key",
        }
        return str(api.call("POST", f"{COMPUTE}/servers", {"server": body})["server"]["id"])


def test_a_machine_on_linux_bridges(cloud: Cloud, image: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    api, network = cloud.api, site(cloud)
    until(lambda: bool(api.call("GET", f"{COMPUTE}/os-hypervisors")["hypervisors"]), told=cloud.logs)
    one = server(cloud, image, network, key.with_suffix(".pub").read_text())

    def is_active() -> bool:
        found = api.call("GET", f"{COMPUTE}/servers/{one}")["server"]
        assert found["status"] != "ERROR", found["fault"]
        return bool(found["status"] == "ACTIVE")

    until(is_active, BOOTED_WITHIN_S, told=cloud.logs)
    (port,) = api.call("GET", f"{NETWORK}/ports?device_id={one}")["ports"]
    assert (port["status"], port["binding:vif_type"]) == ("ACTIVE", "bridge")
    (outer,) = api.call("GET", f"{NETWORK}/networks?name=public")["networks"]
    body = {"floatingip": {"floating_network_id": outer["id"], "port_id": port["id"]}}
    address = api.call("POST", f"{NETWORK}/floatingips", body)["floatingip"]["floating_ip_address"]

    def shell(command: str) -> str:
        options = ("BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null")
        words = [*ENTER, "ssh", *(word for option in options for word in ("-o", option))]
        words += ["-o", "ConnectTimeout=10", "-i", str(key), f"root@{address}", command]
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60).stdout

    assert until(lambda: shell("hostname"), BOOTED_WITHIN_S, told=cloud.logs).strip() == "vm"
    assert f"{port['fixed_ips'][0]['ip_address']}/24" in shell("ip address show dev eth0")
    assert " 0% packet loss" in shell(f"ping -c 2 {OUTSIDE}")
    assert cloud.api.ask("DELETE", f"{COMPUTE}/servers/{one}").status == 204
    until(lambda: cloud.api.ask("GET", f"{COMPUTE}/servers/{one}").status == 404, told=cloud.logs)
    links = subprocess.run(["ip", "-n", NAMESPACE, "link"], capture_output=True, text=True, check=True).stdout
    assert f"tap{port['id'][:11]}" not in links
