"""``pileus lab 2``: a port's whole life across two hosts, over VXLAN, by the commands that a person types."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.cloud import free_port

from pileus.drivers.ovsdb.daemons import missing_programs

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="a lab needs root"),
    pytest.mark.skipif(bool(missing_programs()), reason="Open vSwitch is not installed"),
]

PILEUS = [sys.executable, "-m", "pileus.app.main"]
NAMESPACES = Path("/run/netns")


def pileus(*arguments: str, check: bool = True) -> str:
    done = subprocess.run([*PILEUS, *arguments], capture_output=True, text=True, timeout=120)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


class Cloud:
    """A lab and its API, asked as a person would with the stock client."""

    def __init__(self, state: Path) -> None:
        self.state = str(state)

    def openstack(self, *arguments: str) -> dict[str, object]:
        environment = {**os.environ, "OS_CLIENT_CONFIG_FILE": f"{self.state}/clouds.yaml"}
        argv = [str(Path(sys.executable).parent / "openstack"), "--os-cloud", "pileus", *arguments]
        done = subprocess.run(
            [*argv, "-f", "json"], capture_output=True, text=True, timeout=60, env=environment
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, object] = json.loads(done.stdout)
        return found

    def address(self, port: str) -> str:
        fixed = self.openstack("port", "show", port)["fixed_ips"]
        assert isinstance(fixed, list)
        return str(fixed[0]["ip_address"])


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    state = Path(tempfile.mkdtemp(prefix="plab-", dir="/tmp"))
    state.chmod(0o755)
    pileus("lab", "2", "--detach", "--state", str(state), "--listen", f"127.0.0.1:{free_port()}")
    try:
        yield Cloud(state)
    finally:
        pileus("down", "--purge", "--state", str(state), check=False)


def ping(namespace: str, address: str) -> subprocess.CompletedProcess[str]:
    argv = ["ip", "netns", "exec", namespace, "ping", "-c", "5", "-i", "0.2", "-W", "2", address]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30)


def test_a_port_on_each_host(cloud: Cloud) -> None:
    cloud.openstack("network", "create", "lab")
    cloud.openstack("subnet", "create", "lab", "--network", "lab", "--subnet-range", "10.77.0.0/24")
    for port, host in (("lab-a", "n1"), ("lab-b", "n2")):
        cloud.openstack("port", "create", port, "--network", "lab")
        said = pileus("plug", port, "--host", host, "--state", cloud.state)
        assert said.startswith(f"Port {port} is ACTIVE on {host}")
    other = cloud.address("lab-b")
    answered = ping("guest-lab-a", other)
    assert " 0% packet loss" in answered.stdout, answered.stdout
    assert "2 of 2 alive" in pileus("status", "--state", cloud.state)
    refused = pileus("plug", "lab-a", "--host", "n3", "--state", cloud.state, check=False)
    assert "is bound to n1, not to n3" in refused

    pileus("down", "--state", cloud.state)
    assert " 0% packet loss" in ping("guest-lab-a", other).stdout, "what was built goes on without Pileus"
    pileus("down", "--purge", "--state", cloud.state)
    assert not [path for path in NAMESPACES.glob("*") if path.name.startswith(("plab-", "guest-lab-"))]
    assert not Path(cloud.state).exists()
