"""The supervisor starts, watches and ends processes: asked with small ones of our own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pileus.app.processes import supervisor

READY = """
import os, signal, socket, sys, time
def ready():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.sendto(b"READY=1", "\\0" + os.environ["NOTIFY_SOCKET"][1:])
with open(sys.argv[1], "a") as file:
    file.write(f"{sys.argv[2]} {os.getpid()} {time.monotonic()}\\n")
"""
GOOD = READY + "ready()\nsignal.sigwait({signal.SIGTERM})\n"
TIED = READY + "ready()\nos.read(int(os.environ['PILEUS_LIFELINE']), 1)\n"
STUBBORN = READY + "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nready()\ntime.sleep(600)\n"
MISCONFIGURED = READY + "print('no such setting', file=sys.stderr)\nsys.exit(78)\n"
CRASHING = READY + "ready()\ntime.sleep(0.05)\nos.abort()\n"
HOPELESS = READY + "sys.exit(1)\n"


class Watched:
    """One supervisor under test."""

    def __init__(self, folder: Path, grace: str = "") -> None:
        self.folder = folder
        self.diary = folder / "diary"
        self._grace = grace

    def start(self, **programs: str) -> None:
        specs: list[dict[str, Any]] = []
        for name, program in programs.items():
            argv = [sys.executable, "-c", program, str(self.diary), name]
            after = [specs[-1]["name"]] if specs else []
            log = str(self.folder / f"{name}.log")
            specs.append({"name": name, "argv": argv, "log": log, "after": after, "environment": {"A": "1"}})
        ready, tell = os.pipe()
        plan = {
            "lock": str(self.folder / "lock"),
            "status": str(self.folder / "status"),
            "ready_fd": tell,
            "processes": specs,
        }
        (self.folder / "plan").write_text(json.dumps(plan))
        source = Path(supervisor.__file__)
        if self._grace:
            text = source.read_text().replace("GRACE_S = 15.0", f"GRACE_S = {self._grace}")
            assert text != source.read_text()
            source = self.folder / "supervisor.py"
            source.write_text(text)
        argv = [sys.executable, "-I", "-S", str(source), str(self.folder / "plan")]
        self.process = subprocess.Popen(argv, pass_fds=[tell], stderr=subprocess.PIPE)
        os.close(tell)
        self.answer = os.fdopen(ready).readline().strip()

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = json.loads((self.folder / "status").read_text())
        return status

    def pids(self) -> dict[str, int]:
        return {p["name"]: p["pid"] for p in self.status()["processes"]}

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(60)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    it = Watched(tmp_path)
    yield it
    it.end()


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_ready_is_said_once_all_are(watched: Watched) -> None:
    watched.start(first=GOOD, second=GOOD)
    assert watched.answer == "ready"
    order = [line.split()[0] for line in watched.diary.read_text().splitlines()]
    assert order == ["first", "second"]


@pytest.mark.parametrize("abstract", [True, False])
def test_the_service_manager_hears_of_start_and_end(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, abstract: bool
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(20)
        manager.bind("" if abstract else str(tmp_path / "notify"))
        name = manager.getsockname()
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name[1:].decode() if abstract else name)
        watched.start(first=GOOD, second=GOOD)
        assert manager.recv(100) == b"READY=1", "once, and of all"
        watched.end()
        assert manager.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_everything(watched: Watched, number: signal.Signals) -> None:
    watched.start(first=GOOD, second=GOOD)
    pids = watched.pids()
    watched.process.send_signal(number)
    assert watched.process.wait(60) == 0
    assert all(gone(pid) for pid in pids.values())
    assert watched.status()["running"] is False


def test_nobody_outlives_a_supervisor_that_was_killed(watched: Watched) -> None:
    watched.start(first=TIED, second=TIED)
    pids = watched.pids()
    watched.process.kill()
    watched.process.wait(60)
    until(lambda: all(gone(pid) for pid in pids.values()))


def test_what_is_killed_comes_back(watched: Watched) -> None:
    watched.start(first=GOOD, second=GOOD)
    before = watched.pids()
    os.kill(before["first"], signal.SIGKILL)
    until(lambda: watched.pids()["first"] not in (None, before["first"]))
    until(lambda: all(p["ready"] for p in watched.status()["processes"]))
    assert watched.pids()["second"] == before["second"]
    first = watched.status()["processes"][0]
    assert (first["starts"], first["last_exit"]) == (2, -9)


def test_a_crash_loop_backs_off(watched: Watched) -> None:
    watched.start(first=CRASHING)

    def begun() -> list[float]:
        return [float(line.split()[2]) for line in watched.diary.read_text().splitlines()]

    until(lambda: len(begun()) >= 4)
    assert begun()[3] - begun()[2] > 0.8, "the third pause"


def test_a_bad_setting_is_not_tried_again(watched: Watched) -> None:
    watched.start(first=GOOD, second=MISCONFIGURED)
    assert watched.process.wait(60) == 78
    assert watched.answer.startswith("second could not start")
    assert "no such setting" in (watched.folder / "second.log").read_text()
    first = int(watched.diary.read_text().split()[1])
    assert gone(first)


def test_what_never_gets_ready_is_given_up(watched: Watched) -> None:
    watched.start(first=GOOD, second=HOPELESS)
    assert watched.process.wait(60) == 78
    assert watched.answer.startswith("second could not start")
    assert [line.split()[0] for line in watched.diary.read_text().splitlines()].count("second") == 4


def test_two_supervisors_do_not_share_a_cloud(watched: Watched) -> None:
    watched.start(first=GOOD)
    other = Watched(watched.folder)
    other.start(first=GOOD)
    assert other.process.wait(60) == 78
    assert other.answer == "this cloud is running already"
    assert watched.process.poll() is None


def test_the_stubborn_are_killed(tmp_path: Path) -> None:
    it = Watched(tmp_path, grace="0.3")
    it.start(first=STUBBORN)
    pid = it.pids()["first"]
    it.end()
    assert gone(pid)


def test_it_sleeps_while_a_process_waits_for_another_to_be_ready(tmp_path: Path) -> None:
    common = {"argv": ["true"], "log": None, "environment": {}}
    plan = {
        "lock": str(tmp_path / "lock"),
        "status": str(tmp_path / "status"),
        "processes": [
            {"name": "server", "after": [], **common},
            {"name": "agent", "after": ["server"], **common},
        ],
    }
    watching = supervisor.Supervisor(plan)
    server, agent = watching.processes
    assert watching.next_to_start() == [server]
    server.pid = os.getpid()  # it starts, for as long as it takes
    assert watching.next_to_start() == [] and watching.until_next_start() is None
    server.ready = True
    assert watching.next_to_start() == [agent] and watching.until_next_start() is not None
