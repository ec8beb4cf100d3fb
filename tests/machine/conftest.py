"""One machine a suite for all stories of a run, in the order of the files."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pileus.app.lab.machine.emulator import Machine
from pileus.app.lab.machine.opened import CHECKOUT, running, stories, why_not
from pileus.app.lab.machine.registries import SUITES, CannotMakeMachine

LOGS = Path("/tmp/pileus-machine-logs")
PILEUS = f"cd {CHECKOUT} && ./pileus"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "suite" in metafunc.fixturenames:
        wanted = metafunc.config.getoption("--machine")
        metafunc.parametrize("suite", SUITES if wanted == "all" else [wanted], scope="session")


class Inside:
    """A machine, with what stories do on it."""

    def __init__(self, machine: Machine, suite: str) -> None:
        self.machine = machine
        self.suite = suite
        self.patience = machine.size.patience
        self.times: list[tuple[str, float]] = []

    def run(self, command: str, timeout_s: float = 60.0, *, check: bool = True) -> str:
        """Run a line of shell, which has ``timeout_s`` with KVM and longer without; what it printed."""
        began = time.monotonic()
        done = self.machine.run(command, check=False, timeout_s=timeout_s * self.patience)
        told = (
            f"$ {command}  # {done.returncode}, {time.monotonic() - began:.1f} s\n{done.stdout}{done.stderr}"
        )
        with (LOGS / f"{self.suite}.log").open("a") as log:
            log.write(told + "\n")
        assert not check or done.returncode == 0, told[-6000:]
        return done.stdout

    def pileus(self, arguments: str, timeout_s: float = 120.0) -> str:
        """Run the checkout's launcher."""
        return self.run(f"{PILEUS} {arguments}", timeout_s)

    def up(self, state: str, arguments: str) -> None:
        """Start a cloud. On a slow machine the command stops waiting before all is ready, which goes on."""
        waiting = f"""grep -q '"ready": false' {state}/status.json"""
        self.run(
            f"{PILEUS} up --detach --state {state} {arguments} || "
            f"{{ [ $? = 78 ] && while {waiting}; do sleep 5; done; }}",
            120.0,
        )

    def facts(self) -> dict[str, Any]:
        """What the machine is like: see tests/machine/facts.py."""
        found: dict[str, Any] = json.loads(self.run(f"python3 {CHECKOUT}/tests/machine/facts.py"))
        return found

    def timed(self, what: str, seconds: float) -> None:
        """Remember how long something took; printed at the end."""
        self.times.append((what, seconds))

    def bring_logs(self) -> None:
        """Fetch the clouds' logs and the journal."""
        self.run("journalctl -b --no-pager > /var/tmp/journal.txt", check=False)
        folders = (
            "var/lib/pileus/log",
            "var/lib/pileus-lab/log",
            "var/lib/linuxbridge/log",
            "var/log/openvswitch",
            "var/tmp/journal.txt",
        )
        self.machine.get(folders, LOGS / self.suite)


@pytest.fixture(scope="session")
def inside(suite: str, pytestconfig: pytest.Config) -> Iterator[Inside]:
    """A machine of that suite with a node's packages and this checkout."""
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    LOGS.mkdir(mode=0o700, exist_ok=True)
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def say(text: str) -> None:
        with capture.global_and_fixture_disabled():
            sys.stderr.write(f"\n[{suite}] {text}\n")

    try:
        with running(stories(suite, say)) as machine:
            there = Inside(machine, suite)
            yield there
            there.bring_logs()
            for what, seconds in there.times:
                say(f"{what}: {seconds:.1f} s")
    except CannotMakeMachine as error:
        pytest.skip(error.text)
