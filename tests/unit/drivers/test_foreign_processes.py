"""A process of a lesser user that gives itself the arguments of a daemon of ours is not taken for it."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pileus.drivers.dnsmasq.driver import Dnsmasq
from pileus.drivers.libvirt.daemon import LibvirtDaemon
from pileus.drivers.ovsdb.daemons import SwitchDaemons
from pileus.drivers.process import user_of

STRANGER = 1
PYTHON = shutil.which("python3", path="/usr/bin")
ACTS = """
import ctypes, sys, time
start, end = map(int, open("/proc/self/stat").read().rpartition(")")[2].split()[45:47])
ctypes.memmove(start, sys.argv[1].replace("|", chr(0)).encode().ljust(end - start, bytes(1)), end - start)
print("ready", flush=True)
time.sleep(60)
"""
Start = Callable[[str, int], int]

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or PYTHON is None, reason="needs root, and another user")


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a process with arguments (``|`` between them) as a user; its number."""
    running = []

    def begin(arguments: str, user: int) -> int:
        process = subprocess.Popen(
            [str(PYTHON), "-c", ACTS, arguments],
            user=user, group=user, extra_groups=[], cwd="/", stdout=subprocess.PIPE,
        )  # fmt: skip
        running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process.pid

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def test_no_strangers_dnsmasq_is_ended_or_keeps_others_from_it(start: Start, tmp_path: Path) -> None:
    async def story() -> None:
        servers = Dnsmasq(tmp_path)
        for name in ("..", "n1", "a b", ""):
            start(f"dnsmasq|--pid-file={tmp_path}/{name}/pid", STRANGER)
        (tmp_path / "n2").mkdir()
        number = start(f"dnsmasq|--pid-file={tmp_path}/n2/pid", STRANGER)
        (tmp_path / "n2" / "pid").write_text(str(number))
        odd = start(f"dnsmasq|--pid-file={tmp_path}/../pid", 0)
        assert await servers.running() == set()
        assert await servers.known() == {"n2"}
        await servers.remove(["n1", "n2"])
        assert await servers.known() == set()
        assert user_of(number) == STRANGER
        assert user_of(odd) == 0
        start(f"dnsmasq|--pid-file={tmp_path}/n3/pid", 0)
        assert await servers.running() == {"n3"}

    asyncio.run(story())


@pytest.mark.parametrize("user", [STRANGER, 0])
def test_a_strangers_daemon_is_not_ours(start: Start, tmp_path: Path, user: int) -> None:
    """Who got the number of one that died, and its arguments, does not keep it from being started again."""
    switch, machines = SwitchDaemons(tmp_path, userspace=True), LibvirtDaemon(tmp_path)
    number = start(f"ovs-vswitchd|--pidfile={tmp_path}/ovs-vswitchd.pid|{tmp_path}/libvirtd.pid", user)
    for name in ("ovs-vswitchd.pid", "libvirtd.pid"):
        (tmp_path / name).write_text(str(number))
    assert switch.pid("ovs-vswitchd") == machines.pid() == (number if user == 0 else None)


def test_the_user_of_a_process_that_is_gone() -> None:
    assert user_of(os.getpid()) == os.geteuid()
    assert user_of(1 << 30) is None
