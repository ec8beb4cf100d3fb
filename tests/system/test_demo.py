"""``pileus demo``: from nothing to a machine that answers ssh, again at once, and everything gone."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from benchmarks.cloud import free_port

from pileus.drivers.dnsmasq import driver as dnsmasq
from pileus.drivers.libvirt import daemon as libvirt
from pileus.drivers.ovsdb import daemons as openvswitch

_MISSING = [
    *openvswitch.missing_programs(),
    *libvirt.missing_programs(),
    *dnsmasq.missing_programs(),
    *(program for program in ("ssh", "mke2fs", "mcopy", "nft") if shutil.which(program) is None),
    *([] if importlib.util.find_spec("libvirt") else ["libvirt-python"]),
]
pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="a cloud of real machines needs root"),
    pytest.mark.skipif(bool(_MISSING), reason=f"not installed: {', '.join(_MISSING)}"),
]


def pileus(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pileus.app.main", *arguments], capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def machine() -> tuple[set[str], set[str], dict[str, str]]:
    """What the demo might change on this machine: links, namespaces, sysctls."""
    links = {path.name for path in Path("/sys/class/net").iterdir()}
    namespaces = {path.name for path in Path("/run/netns").glob("*")}
    keys = ("net/ipv4/ip_forward", "net/ipv4/conf/all/rp_filter", "fs/inotify/max_user_instances")
    return links, namespaces, {key: Path("/proc/sys", key).read_text() for key in keys}


def _external_address() -> list[str]:
    done = subprocess.run(
        ["ip", "-o", "-4", "address", "show", "pileus-host"], capture_output=True, text=True, check=False
    )
    return [line.split()[3] for line in done.stdout.splitlines()]


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, not for a time."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def state() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="pdemo-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder / "s"
    pileus("demo", "--clean", "--state", str(folder / "s"))
    shutil.rmtree(folder, ignore_errors=True)


def test_the_demo(state: Path) -> None:
    before = machine()
    said = pileus("demo", "--state", str(state), "--listen", f"127.0.0.1:{free_port()}")
    assert "✗" not in said
    assert "3 packets transmitted, 3 packets received" in said
    assert "domain.start" in said, "the timeline says when the machine was started"
    steps = [line for line in said.splitlines() if "✓" in line]

    again = pileus("demo", "--state", str(state))
    assert "running already" in again
    assert "Upload" not in again and "Debian packages" not in again
    assert len([line for line in again.splitlines() if "✓" in line]) == len(steps) - 2

    timeline = pileus("timeline", "demo-1", "--state", str(state))
    assert timeline.count("domain.start") == 1, "running it again started nothing again"

    # A reboot takes this machine's address in the external network away; the next start makes it anew.
    address = _external_address()
    pileus("down", "--state", str(state))
    subprocess.run(["ip", "link", "delete", "pileus-host"], check=True)
    pileus("up", "--detach", "--state", str(state))
    until(lambda: _external_address() == address)
    assert "running already" in pileus("demo", "--state", str(state))

    pileus("demo", "--clean", "--state", str(state))
    assert not state.exists()
    assert machine() == before
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(state).encode() in _read(path)]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
