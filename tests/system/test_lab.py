"""``pileus lab 2``: a port's whole life across two hosts, over VXLAN, by the commands that a person types."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.cloud import free_port
from tests.clouds import processes_naming
from tests.system.first import FIRST, prefer_switch

from pileus.drivers.ovsdb.daemons import missing_programs

pytestmark = [
    pytest.mark.real,
    pytest.mark.alone,
    pytest.mark.skipif(os.geteuid() != 0, reason="a lab needs root"),
    pytest.mark.skipif(bool(missing_programs()), reason="Open vSwitch is not installed"),
]

PILEUS = [sys.executable, "-m", "pileus.app.main"]
NAMESPACES = Path("/run/netns")
TRAFFIC = str(Path(__file__).with_name("traffic.py"))


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

    def status(self) -> list[dict[str, Any]]:
        processes: list[dict[str, Any]] = json.loads(Path(self.state, "status.json").read_text())["processes"]
        return processes

    def pids(self) -> dict[str, int]:
        return {process["name"]: process["pid"] for process in self.status()}

    def all_ready(self) -> bool:
        return all(process["ready"] for process in self.status())

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


def inside(guest: str, *argv: str) -> list[str]:
    return [*FIRST, "ip", "netns", "exec", f"guest-{guest}", *argv]


def prefer_the_switches(state: str) -> None:
    for file in Path(state, "lab").glob("*/ovs-vswitchd.pid"):
        prefer_switch(file.parent)


def ping(guest: str, address: str) -> str:
    argv = inside(guest, "ping", "-c", "5", "-i", "0.2", "-W", "2", address)
    return subprocess.run(argv, capture_output=True, text=True, timeout=30).stdout


class Flow:
    """1,000 packets a second from one guest to another, counted at both ends."""

    def __init__(self, sender: str, receiver: str, address: str, port: int, seconds: float) -> None:
        program = (sys.executable, TRAFFIC)
        self._receiver = subprocess.Popen(
            inside(receiver, *program, "receive", str(port)), stdout=subprocess.PIPE, text=True
        )
        assert self._receiver.stdout
        assert self._receiver.stdout.readline().strip() == "ready"
        numbers = (str(port), "1000", str(seconds), "64")
        self._sender = subprocess.Popen(
            inside(sender, *program, "send", address, *numbers), stdout=subprocess.PIPE, text=True
        )

    def lost(self) -> tuple[int, int]:
        """How many of how many packets did not arrive."""
        sent = int(self._sender.communicate(timeout=60)[0])
        time.sleep(0.3)  # the last ones are on their way
        self._receiver.send_signal(signal.SIGTERM)
        came = json.loads(self._receiver.communicate(timeout=60)[0])["packets"]
        return sent - came, sent


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_port_on_each_host(cloud: Cloud) -> None:
    cloud.openstack("network", "create", "lab")
    cloud.openstack("subnet", "create", "lab", "--network", "lab", "--subnet-range", "10.77.0.0/24")
    group = "default"
    cloud.openstack(
        "security", "group", "rule", "create", group, "--protocol", "udp", "--dst-port", "5000:5001"
    )
    for port, host in (("lab-a", "n1"), ("lab-b", "n2"), ("lab-c", "n1")):
        cloud.openstack("port", "create", port, "--network", "lab")
        said = pileus("plug", port, "--host", host, "--state", cloud.state)
        assert said.startswith(f"Port {port} is ACTIVE on {host}")
    other = cloud.address("lab-b")
    assert " 0% packet loss" in ping("lab-a", other)
    assert re.search(r"^agents +(\d+) of \1 alive", pileus("status", "--state", cloud.state), re.M)
    refused = pileus("plug", "lab-a", "--host", "n2", "--state", cloud.state, check=False)
    assert "is bound to n1, not to n2" in refused

    # The stack of each host is kept from its guests, where they are plugged.
    name = json.loads(Path(cloud.state, "lab.json").read_text())["name"]
    for host in ("n1", "n2"):
        silence = (
            "ip",
            "netns",
            "exec",
            f"{name}-{host}",
            "nft",
            "list",
            "table",
            "netdev",
            "pileus_silence",
        )
        assert "chain" in subprocess.run(silence, capture_output=True, text=True, check=True).stdout
        log = Path(cloud.state, "log", f"agent-{host}.log").read_text()
        assert "changed by somebody else" not in log and "are not kept from the machine" not in log

    prefer_the_switches(cloud.state)
    across = Flow("lab-a", "lab-b", other, 5000, 8)
    within = Flow("lab-a", "lab-c", cloud.address("lab-c"), 5001, 8)
    before = cloud.pids()
    assert set(before) == {"server", "agent-n1", "agent-n2"}
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    until(lambda: cloud.all_ready() and not set(before.values()) & set(cloud.pids().values()))
    for flow in (across, within):
        lost, sent = flow.lost()
        assert sent > 7000
        assert lost == 0, f"{lost} of {sent} packets lost while server and agents were killed"

    pileus("down", "--state", cloud.state)
    assert " 0% packet loss" in ping("lab-a", other), "what was built goes on without Pileus"
    ours = (json.loads(Path(cloud.state, "lab.json").read_text())["name"] + "-", "guest-lab-")
    assert [path for path in NAMESPACES.glob("*") if path.name.startswith(ours)]
    pileus("down", "--purge", "--state", cloud.state)
    assert not [path for path in NAMESPACES.glob("*") if path.name.startswith(ours)]
    assert not Path(cloud.state).exists()
    assert processes_naming(cloud.state) == []
