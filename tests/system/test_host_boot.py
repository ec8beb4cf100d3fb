"""A machine that lost its power: afterwards ``pileus up`` brings back everything, running servers too.

All processes of the cloud and of its switch are killed, and what a kernel forgets is taken away: namespaces,
taps, veths, packet rules, run files. The kernel's name for its run is another one afterwards: the cloud runs
in a mount namespace in which that file is ours.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.clouds import Cloud, until
from tests.system.test_demo import pytestmark as demo_marks

from pileus.app.local import COMPUTE

pytestmark = demo_marks

ENTER = 'mount --make-private /proc && mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"'


class Machine:
    """A cloud that can be started, and lose its power."""

    def __init__(self, folder: Path) -> None:
        self.boot_id = folder / "boot_id"
        self.cloud = Cloud(folder / "s")
        self.start()

    def start(self) -> None:
        self.boot_id.write_text(f"{uuid.uuid4()}\n")

    def pileus(self, *arguments: str, within_s: float = 400) -> str:
        """A command in the mount namespace of the cloud, or in a new one where none runs."""
        inside = ["unshare", "-m", "sh", "-c", ENTER, str(self.boot_id)]
        if (pid := self.supervisor()) is not None:
            inside = ["nsenter", "-m", "-t", str(pid), "--"]
        command = [*inside, sys.executable, "-m", "pileus.app.main", *arguments]
        done = subprocess.run(
            [*command, "--state", str(self.cloud.folder.root)],
            capture_output=True, text=True, timeout=within_s, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr + self.cloud.logs()
        return done.stdout

    def supervisor(self) -> int | None:
        with contextlib.suppress(OSError, KeyError, json.JSONDecodeError):
            pid = int(self.cloud.told()["pid"])
            if pid in self.processes():
                return pid
        return None

    def processes(self) -> dict[int, str]:
        """What runs of the cloud: its own processes, the switch, libvirtd, machines, dnsmasq."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if str(self.cloud.folder.root) in line and int(folder.name) != os.getpid():
                    found[int(folder.name)] = line
        return found

    def lose_power(self, links: set[str]) -> None:
        """``links``: those that were there before the cloud, and stay."""
        self.cloud.api.close()
        while processes := self.processes():
            for pid in processes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for name in {path.name for path in Path("/sys/class/net").iterdir()} - links:
            subprocess.run(["ip", "link", "del", name], capture_output=True, check=False)
        for path in Path("/run/netns").glob("q*-*"):
            path.unlink()
        subprocess.run(
            ["nft", "delete", "table", "netdev", "pileus_silence"], capture_output=True, check=False
        )
        for folder in (self.cloud.folder.agent / "ovs", self.cloud.folder.libvirt):
            for path in [*folder.rglob("*.pid"), *folder.rglob("*.sock"), *folder.rglob("*-sock*")]:
                path.unlink(missing_ok=True)
        self.start()

    def servers(self) -> dict[str, dict[str, Any]]:
        return {
            one["name"]: one for one in self.cloud.api.call("GET", f"{COMPUTE}/servers/detail")["servers"]
        }

    def act(self, name: str, **action: Any) -> None:
        path = f"{COMPUTE}/servers/{self.servers()[name]['id']}/action"
        self.cloud.api.call("POST", path, action)

    def timeline(self, name: str) -> list[dict[str, Any]]:
        path = f"{COMPUTE}/servers/{self.servers()[name]['id']}/os-pileus-timeline"
        found: list[dict[str, Any]] = self.cloud.api.call("GET", path)["timeline"]
        return found


@pytest.fixture
def machine() -> Iterator[Machine]:
    folder = Path(tempfile.mkdtemp(prefix="pboot-", dir="/tmp"))
    folder.chmod(0o755)
    machine = Machine(folder)
    try:
        yield machine
    finally:
        with contextlib.suppress(AssertionError):
            machine.pileus("demo", "--clean")
        for pid in machine.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


def test_what_ran_runs_again_and_what_was_stopped_stays_off(machine: Machine) -> None:
    links = {path.name for path in Path("/sys/class/net").iterdir()}
    said = machine.pileus("demo", "--listen", machine.cloud.address)
    assert "3 packets received" in said
    machine.act("demo-2", **{"os-stop": None})
    until(lambda: machine.servers()["demo-2"]["status"] == "SHUTOFF", 60)

    machine.lose_power(links)
    machine.pileus("up", "--detach")

    def runs_again() -> bool:
        return any(
            "the host was started again" in one.get("detail", "") for one in machine.timeline("demo-1")
        )

    until(runs_again, 60, told=machine.cloud.logs)
    until(lambda: machine.servers()["demo-1"]["status"] == "ACTIVE", 30, told=machine.cloud.logs)
    assert any("qemu-system" in line for line in machine.processes().values())
    assert machine.servers()["demo-2"]["status"] == "SHUTOFF"
    # The demo finds all that it needs, starts what is off, and packets flow as before.
    again = machine.pileus("demo")
    assert "running already" in again
    assert "3 packets received" in again
    assert {one["status"] for one in machine.servers().values()} == {"ACTIVE"}
