"""A cloud to measure, started as a person would start it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from benchmarks.client import Client


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Cloud:
    """``pileus up --detach`` in a folder of its own; ``flags`` such as ``--simulated``.

    ``python`` is the interpreter of another checkout's environment where that one is to be measured.
    """

    def __init__(self, *flags: str, settings: str = "", python: str = sys.executable) -> None:
        self._pileus = [python, "-m", "pileus.app.main"]
        # Not tempfile's own folder: its parents may be closed to the server's user.
        self.root = Path(tempfile.mkdtemp(prefix="pileus-bench-", dir="/tmp"))
        self.root.chmod(0o755)
        self.state = self.root / "state"
        self.state.mkdir()
        self.address = f"127.0.0.1:{free_port()}"
        self._flags = [*flags, "--state", str(self.state)]
        if settings:
            (self.state / "pileus.toml").write_text(settings)
        self.ready_s = 0.0
        self.first_reply_s = 0.0

    def __enter__(self) -> Cloud:
        started = time.perf_counter()
        process = subprocess.Popen(
            [*self._pileus, "up", *self._flags, "--detach", "--listen", self.address],
            stdout=subprocess.DEVNULL,
        )
        self.first_reply_s = self._first_reply(started)
        if process.wait():
            raise RuntimeError((self.state / "log" / "server.log").read_text()[-2000:])
        self.ready_s = time.perf_counter() - started
        return self

    def _first_reply(self, started: float) -> float:
        """Seconds until a token was had and a list answered."""
        deadline = started + 60
        while time.perf_counter() < deadline:
            try:
                client = self.client()
                client.call("GET", "/networking/v2.0/networks")
                return time.perf_counter() - started
            except (OSError, RuntimeError, FileNotFoundError):
                time.sleep(0.005)
        log = self.state / "log" / "server.log"
        raise RuntimeError(f"the cloud does not answer: {log.read_text()[-2000:]}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        flags = [flag for flag in self._flags if flag != "--hosts"]
        subprocess.run([*self._pileus, "down", *flags, "--purge"], stdout=subprocess.DEVNULL, check=False)
        shutil.rmtree(self.root, ignore_errors=True)

    def client(self) -> Client:
        """A new connection with a token of the admin's."""
        client = Client(self.address)
        client.login(self.password())
        return client

    def password(self) -> str:
        found = re.search(r"OS_PASSWORD='(.*)'", (self.state / "openrc").read_text())
        if not found:
            raise RuntimeError("openrc names no password")
        return found[1]

    def pids(self) -> dict[str, int]:
        """Processes by name, the supervisor among them."""
        status = json.loads((self.state / "status.json").read_text())
        return {"supervisor": status["pid"], **{p["name"]: p["pid"] for p in status["processes"]}}

    def ready(self, name: str) -> bool:
        """Whether the supervisor has heard that this process is ready."""
        status = json.loads((self.state / "status.json").read_text())
        return any(p["name"] == name and p["ready"] for p in status["processes"])

    def memory_mib(self, *, private: bool = False) -> dict[str, float]:
        """Proportional set size of each process, or what is its alone.

        The proportional size grows when programs that share its libraries end, the private one does not.
        """
        kinds = ("Private_Clean", "Private_Dirty") if private else ("Pss",)
        found = {}
        for name, pid in self.pids().items():
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            sizes = dict(re.findall(r"^(\w+):\s+(\d+) kB", text, re.M))
            found[name] = sum(int(sizes.get(kind, 0)) for kind in kinds) / 1024
        return found

    def processor_ms(self) -> float:
        """Processor time of the API's process, all threads: other work on the machine is not in it."""
        total = 0
        for task in Path(f"/proc/{self.pids()['server']}/task").iterdir():
            with contextlib.suppress(FileNotFoundError):
                total += int((task / "schedstat").read_text().split()[0])
        return total / 1e6


@contextlib.contextmanager
def second_server(cloud: Cloud) -> Iterator[str]:
    """Run another server over the cloud's database, with its keys; yield its address. No agents are its."""
    state, address = cloud.root / "second", f"127.0.0.1:{free_port()}"
    shutil.copytree(cloud.state, state, ignore=shutil.ignore_patterns("run", "log", "lock", "agent", "hosts"))
    # Root's copies are root's, and the server is not.
    for path in (state, *state.rglob("*")):
        owner = (cloud.state / path.relative_to(state)).stat()
        os.chown(path, owner.st_uid, owner.st_gid)
    settings = state / "pileus.toml"
    text = settings.read_text().replace("[server]\n", f'[server]\nlisten = "{address}"\n')
    settings.write_text(text)
    with (cloud.root / "second.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pileus.app.processes.server", str(state)], stdout=log, stderr=log
        )
    try:
        token, deadline = cloud.client().token, time.perf_counter() + 60
        while True:
            try:
                Client(address, token).call("GET", "/networking/v2.0/networks")
                break
            except (OSError, RuntimeError):
                if process.poll() is not None or time.perf_counter() > deadline:
                    raise RuntimeError((cloud.root / "second.log").read_text()[-2000:]) from None
                time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def environment_note() -> str:
    """The machine, in a line."""
    return f"{os.cpu_count()} processors, Python {sys.version.split()[0]}, {os.uname().release}"
