"""A full Debian with systemd and cloud-init, from its first boot to ssh, on a real cloud.

What the small guest image proves of our own reading of DHCP and metadata, this proves of everybody's: the
cloud is OpenStack enough for the software that most images in the world start with. ``pileus demo`` makes the
surroundings (networks, router, key pair, group); all of it in a network namespace of its own, so that nothing
here meets what else is on the machine.
"""

from __future__ import annotations

import base64
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.clouds import Cloud, processes_naming, short_folder, until
from tests.switches import why_not_real
from tests.system.debian_image import debian_image, missing_programs

from pileus.app.commands.demo import SSH
from pileus.app.local import COMPUTE, IMAGE, NETWORK, LocalApi
from pileus.app.nodes.switch import SYSTEM_RUN
from pileus.drivers.dnsmasq import driver as dnsmasq
from pileus.drivers.libvirt import daemon as libvirt

NAMESPACE = f"pld-{os.getpid()}"
ENTER = ("nsenter", f"--net=/run/netns/{NAMESPACE}", "--")
NAME = "debian-1"
FLAVOR = {"name": "debian.small", "ram": 1024, "vcpus": 1, "disk": 3}
BOOTS_WITHIN_S = 300.0
TOLD = "/var/tmp/told"  # in the guest
USER_DATA = f"""#cloud-config
runcmd:
  - [sh, -c, 'echo "user data says hello to $(hostname)" > {TOLD}']
"""


def why_not() -> str | None:
    """Why no such cloud can be run here, in words for a skipped test."""
    if (reason := why_not_real()) is not None:
        return reason
    programs = ("ssh", "ssh-keygen", "nft", "nsenter")
    missing = [*libvirt.missing_programs(), *dnsmasq.missing_programs(), *missing_programs()]
    if missing := [*missing, *(program for program in programs if shutil.which(program) is None)]:
        return f"not installed: {', '.join(missing)}"
    if importlib.util.find_spec("libvirt") is None:
        return "libvirt-python is not installed (the extra pileus[libvirt])"
    if (SYSTEM_RUN / "db.sock").exists():
        return "the machine's own Open vSwitch runs"
    return None


pytestmark = [
    pytest.mark.real,
    pytest.mark.alone,
    pytest.mark.slow,
    pytest.mark.nightly,
    pytest.mark.skipif(why_not() is not None, reason=why_not() or ""),
]


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """A cloud with what the demo made in it."""
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True, timeout=30)
    try:
        subprocess.run(["ip", "-n", NAMESPACE, "link", "set", "lo", "up"], check=True, timeout=30)
        with short_folder() as folder:
            cloud = Cloud(folder / "c", enter=ENTER)
            try:
                shown = cloud.run("demo", "--listen", cloud.address, timeout_s=400)
                assert shown.returncode == 0, shown.stdout + shown.stderr + cloud.logs()
                yield cloud
            finally:
                if cloud.folder.root.exists():
                    cloud.end()
    finally:
        subprocess.run(["ip", "netns", "del", NAMESPACE], check=True, timeout=30)


class Debian:
    """One server of that image, through the API as any client."""

    def __init__(self, cloud: Cloud, api: LocalApi) -> None:
        self._cloud = cloud
        self._api = api
        self.server_id = ""

    def boot(self, image: Path) -> None:
        body = {"name": "debian", "disk_format": "qcow2", "container_format": "bare", "min_ram": 512}
        image_id = self._api.call("POST", f"{IMAGE}/images", body)["id"]
        self._api.upload(f"{IMAGE}/images/{image_id}/file", image)
        flavor = self._api.call("POST", f"{COMPUTE}/flavors", {"flavor": FLAVOR})["flavor"]
        server = {
            "name": NAME,
            "imageRef": image_id,
            "flavorRef": flavor["id"],
            "networks": [{"uuid": self._network("demo")}],
            "key_name": "demo",
            "security_groups": [{"name": "demo"}],
            "user_data": base64.b64encode(USER_DATA.encode()).decode(),
        }
        self.server_id = self._api.call("POST", f"{COMPUTE}/servers", {"server": server})["server"]["id"]
        until(lambda: self.details()["status"] == "ACTIVE", 120, self.details)

    def _network(self, name: str) -> str:
        return str(self._api.get(f"{NETWORK}/networks?name={name}")["networks"][0]["id"])

    def details(self) -> dict[str, Any]:
        server: dict[str, Any] = self._api.get(f"{COMPUTE}/servers/{self.server_id}")["server"]
        assert server["status"] != "ERROR", server
        return server

    def fixed_ip(self) -> str:
        return str(self.details()["addresses"]["demo"][0]["addr"])

    def console(self) -> str:
        path = f"{COMPUTE}/servers/{self.server_id}/action"
        return str(self._api.call("POST", path, {"os-getConsoleOutput": {}})["output"])

    def floating_ip(self) -> dict[str, Any]:
        port = self._api.get(f"{NETWORK}/ports?device_id={self.server_id}")["ports"][0]
        body = {"floating_network_id": self._network("public"), "port_id": port["id"]}
        made: dict[str, Any] = self._api.call("POST", f"{NETWORK}/floatingips", {"floatingip": body})
        return dict(made["floatingip"])

    def ssh(self, address: str, host_key: str, command: str) -> subprocess.CompletedProcess[str]:
        """Run ``command`` there, as the user that the image has for people."""
        home = self._cloud.folder.root / "demo"
        known_hosts = home / "known_debian"
        known_hosts.write_text(f"{address} {host_key}\n")
        argv = [
            *ENTER,
            "ssh",
            *SSH,
            "-o",
            f"UserKnownHostsFile={known_hosts}",
            "-i",
            str(home / "id_ed25519"),
        ]
        return subprocess.run(
            [*argv, f"debian@{address}", command], capture_output=True, text=True, timeout=120, check=False
        )

    def delete(self) -> None:
        self._api.call("DELETE", f"{COMPUTE}/servers/{self.server_id}")
        until(lambda: self.server_id not in self._servers(), 60, self._servers)

    def _servers(self) -> list[str]:
        return [server["id"] for server in self._api.get(f"{COMPUTE}/servers")["servers"]]


def test_a_full_debian_finds_all_it_asks_for(cloud: Cloud) -> None:
    image = debian_image(print)  # pytest shows it where building takes long or fails
    with LocalApi(cloud.folder) as api:
        debian = Debian(cloud, api)
        debian.boot(image)
        floating = debian.floating_ip()
        finished = re.compile(r"Cloud-init v\. \S+ finished at .*Datasource (\w+)")
        until(lambda: finished.search(debian.console()), BOOTS_WITHIN_S, lambda: debian.console()[-3000:])
        console = debian.console()
        source = finished.search(console)
        assert source and source[1].startswith("DataSourceOpenStack"), console[-3000:]

        # cloud-init says the host keys on the console, so nothing has to be trusted blindly.
        key = re.search(r"(ssh-ed25519 AAAA\S+)", console)
        assert key, console[-3000:]

        def ssh(command: str) -> subprocess.CompletedProcess[str]:
            return debian.ssh(floating["floating_ip_address"], key[1], command)

        def guest(command: str) -> str:
            done = ssh(command)
            assert done.returncode == 0, f"{command}: {done}"
            return done.stdout.strip()

        until(lambda: ssh("true").returncode == 0, 60, debian.console)
        assert guest("hostname") == NAME
        assert guest("cloud-init status --wait").endswith("status: done")
        assert guest(f"cat {TOLD}") == f"user data says hello to {NAME}"
        address = debian.fixed_ip()
        assert f"inet {address}/24 " in guest("ip -4 -o address show dynamic")
        assert f"ADDRESS={address}" in guest("sudo cat /run/systemd/netif/leases/*").split(), "by DHCP"
        assert int(guest("df --output=size -BM /").split()[-1].rstrip("M")) > 2000, (
            "it has grown into its disk"
        )

        server_id = debian.server_id
        assert processes_naming(f"uuid {server_id}")
        debian.delete()
        until(lambda: not processes_naming(server_id), 30, lambda: processes_naming(server_id))

    root = cloud.folder.root
    cleaned = cloud.run("demo", "--clean")
    assert cleaned.returncode == 0, cleaned.stdout + cleaned.stderr
    assert not root.exists()
    assert not processes_naming(str(root))
