"""Whole clouds, started as a person starts them, for the tests that look from outside.

::

    with simulated_cloud() as cloud:                 # pileus up --simulated --detach …
        network = cloud.api.network("demo", "10.1.0.0/24")
        port = cloud.api.port(network, host="host-1")
        cloud.plug("host-1", port)
        until(lambda: cloud.api.status(port) == "ACTIVE")
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence, Set
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from pileus.app.nodes import guests
from pileus.app.state import StateFolder
from pileus.drivers.ovsdb.client import OvsdbClient
from tests.patience import PATIENCE

T = TypeVar("T")

PILEUS = (sys.executable, "-m", "pileus.app.main")
IDENTITY, NETWORK = "/identity/v3", "/networking/v2.0"
DEFAULT_DOMAIN = {"id": "default"}
PATIENCE_S = 30.0


def until(
    condition: Callable[[], T], within_s: float = PATIENCE_S, told: Callable[[], object] = lambda: ""
) -> T:
    """Wait for a condition of the outside world, and give it back; ``told`` says how things are otherwise."""
    deadline = time.monotonic() + within_s * PATIENCE
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {told()}"
        time.sleep(0.02)
    return value


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def is_gone(pid: int) -> bool:
    """Whether no such process runs (one that only waits to be looked at has ended)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def processes_naming(text: str) -> list[str]:
    """The command lines of running processes in which ``text`` occurs."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if text in line and folder.name != str(os.getpid()):
                found.append(line)
    return found


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """A folder that the server's user may enter, with a path short enough for Unix sockets."""
    folder = Path(tempfile.mkdtemp(prefix="plc-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Answer(msgspec.Struct):
    """One reply of the API."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else None


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Api:
    """The admin's way to the API, over the server's Unix socket or ``HOST:PORT``."""

    def __init__(self, cloud: Cloud, address: str = "", timeout_s: float = 30.0) -> None:
        self._cloud = cloud
        self._address = address
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None
        self.token = ""
        self._used = 0.0

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """One exchange, whatever comes of it; OSError or HTTPException where nobody answers."""
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        everything = {"X-Auth-Token": self.token} if self.token else {}
        if content is not None:
            everything["Content-Type"] = "application/json"
        if time.monotonic() - self._used > 30:  # the server may have given the connection up by now
            self.close()
        self._used = time.monotonic()
        if self._connection is None:
            if self._address:
                host, _, port = self._address.rpartition(":")
                self._connection = http.client.HTTPConnection(host, int(port), timeout=self._timeout_s)
            else:
                self._connection = _UnixConnection(self._cloud.folder.socket, self._timeout_s)
        try:
            self._connection.request(method, path, content, everything | (headers or {}))
            response = self._connection.getresponse()
            answer = Answer(
                response.status, {k.lower(): v for k, v in response.headers.items()}, response.read()
            )
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        return answer

    def login(self) -> str:
        user = {"name": "admin", "domain": DEFAULT_DOMAIN, "password": self._cloud.password()}
        auth = {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": "admin", "domain": DEFAULT_DOMAIN}},
        }
        self.token = ""
        answer = self.ask("POST", f"{IDENTITY}/auth/tokens", {"auth": auth})
        assert answer.status == 201, answer
        self.token = answer.headers["x-subject-token"]
        return self.token

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of a request that must succeed."""
        if not self.token:
            self.login()
        answer = self.ask(method, path, body)
        assert answer.status < 300, f"{method} {path}: {answer.status} {answer.body[:500]!r}"
        return answer.json

    def network(self, name: str, cidr: str = "", *, dhcp: bool = True, **more: Any) -> str:
        """A new network, with a subnet if there is a ``cidr``; its id. Where DHCP is served is chance."""
        body = {"network": {"name": name, **more}}
        network: str = self.call("POST", f"{NETWORK}/networks", body)["network"]["id"]
        if cidr:
            subnet = {"network_id": network, "ip_version": 4, "cidr": cidr, "enable_dhcp": dhcp}
            self.call("POST", f"{NETWORK}/subnets", {"subnet": subnet})
        return network

    def port(self, network: str, host: str = "", **more: Any) -> str:
        """A new port, bound to ``host`` if there is one; its id."""
        body = {"network_id": network, **({"binding:host_id": host} if host else {}), **more}
        port: str = self.call("POST", f"{NETWORK}/ports", {"port": body})["port"]["id"]
        return port

    def ports(self, **filters: str) -> list[dict[str, Any]]:
        """The ports, without those that the cloud's own services made (DHCP, routers)."""
        query = "&".join(f"{key}={value}" for key, value in filters.items())
        ports: list[dict[str, Any]] = self.call("GET", f"{NETWORK}/ports?{query}")["ports"]
        return [port for port in ports if not port["device_owner"].startswith("network:")]

    def status(self, port: str) -> str:
        status: str = self.call("GET", f"{NETWORK}/ports/{port}?fields=status")["port"]["status"]
        return status

    def delete(self, collection: str, *ids: str) -> None:
        for one in ids:
            self.call("DELETE", f"{NETWORK}/{collection}/{one}")

    def agents(self) -> list[dict[str, Any]]:
        agents: list[dict[str, Any]] = self.call("GET", f"{NETWORK}/agents")["agents"]
        return agents


class Installed(msgspec.Struct):
    """What is on a simulated switch: rows by table and name, flows by bridge, in canonical words."""

    rows: dict[str, dict[str, dict[str, Any]]]
    flows: dict[str, list[str]]

    def plugged(self) -> set[str]:
        """Ids of the ports whose interface is on the switch."""
        ids = (dict(row.get("external_ids", ["map", []])[1]) for row in self.rows["Interface"].values())
        return {one["iface-id"] for one in ids if "iface-id" in one}

    def text(self) -> str:
        """Everything, to look for a port's traces."""
        return json.dumps([self.rows, self.flows])

    def lines(self) -> list[str]:
        """A line for each row and flow."""
        rows = [
            f"{table} {name} {key}={value}"
            for table, named in self.rows.items()
            for name, row in named.items()
            for key, value in sorted(row.items())
        ]
        return rows + [f"{bridge} {flow}" for bridge, flows in self.flows.items() for flow in flows]

    def lasting(self) -> str:
        """Everything but the counter of numbers that were given so far."""
        return re.sub(r'\["pileus-last-number", "\d+"\](, )?', "", self.text())


_VOLATILE = ("next_cfg", "cur_cfg", "ifindex", "mac_in_use")


class Cloud:
    """One cloud: ``pileus up`` on a state folder. ``enter`` is put before each command (nsenter…)."""

    def __init__(
        self, state: Path, *flags: str, settings: str = "", hosts: int = 0, enter: Sequence[str] = ()
    ) -> None:
        self.folder = StateFolder(state)
        self.address = f"127.0.0.1:{free_port()}"
        self.api = Api(self)
        self._flags = flags
        self._hosts = ("--hosts", str(hosts)) if hosts else ()
        self._enter = tuple(enter)
        if settings:
            state.mkdir(exist_ok=True)
            self.folder.settings.write_text(settings)

    def command(self, verb: str, *arguments: str) -> list[str]:
        """``pileus VERB --state … ARGUMENTS``."""
        return [*self._enter, *PILEUS, verb, *self._flags, "--state", str(self.folder.root), *arguments]

    def run(self, verb: str, *arguments: str, timeout_s: float = 90.0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, whatever its status."""
        return subprocess.run(
            self.command(verb, *arguments), capture_output=True, text=True, timeout=timeout_s, check=False
        )

    def do(self, verb: str, *arguments: str) -> str:
        """Run a command that must succeed; what it said."""
        done = self.run(verb, *arguments)
        assert done.returncode == 0, f"{verb}: {done.returncode} {done.stdout}{done.stderr}{self.logs()}"
        return done.stdout

    def up(self) -> str:
        self.api.close()
        return self.do("up", "--detach", "--listen", self.address, *self._hosts)

    def down(self, *arguments: str) -> str:
        self.api.close()
        return self.do("down", *arguments)

    def end(self) -> None:
        """No such cloud, whatever state it is in."""
        for pid in self.pids().values() if self.folder.status.exists() else ():
            with contextlib.suppress(ProcessLookupError, TypeError):
                os.kill(pid, signal.SIGCONT)
        self.api.close()
        self.run("down", "--purge")

    def password(self) -> str:
        found = re.search(r"OS_PASSWORD='(.*)'", self.folder.openrc.read_text())
        assert found
        return found[1]

    def told(self) -> dict[str, Any]:
        """What the supervisor says of its processes."""
        status: dict[str, Any] = json.loads(self.folder.status.read_text())
        return status

    def pids(self) -> dict[str, int]:
        told = self.told()
        return {"supervisor": told["pid"], **{p["name"]: p["pid"] for p in told["processes"]}}

    def send_signal(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to server, agent or supervisor, once it runs; its pid."""
        pid = until(lambda: self.pids()[name])
        os.kill(pid, number)
        return pid

    def until_ready(self, *, without: Collection[int] = ()) -> None:
        """All processes are ready, and none is one of the pids ``without``."""

        def ready() -> bool:
            return all(p["ready"] and p["pid"] not in without for p in self.told()["processes"])

        until(ready, told=lambda: (self.told(), self.logs()))

    def kill(self, name: str) -> None:
        """SIGKILL, and wait until its successor is ready."""
        self.until_ready(without=[self.send_signal(name)])

    def logs(self) -> str:
        """What all processes have logged."""
        logs = sorted(log for log in self.folder.logs.rglob("*") if log.is_file())
        return "".join(f"\n--- {log.name}\n{log.read_text()}" for log in logs)

    # -- simulated hosts

    def plug(self, host: str, *ports: str, known: dict[str, dict[str, Any]] | None = None) -> None:
        """Put interfaces with these ports' ids on a simulated switch, as a hypervisor does. ``known``
        are the ports, where the API can't be asked."""
        found = known or {port["id"]: port for port in self.api.ports()}
        plugs = [guests.Plug(port_id=port, namespace="", mac=found[port]["mac_address"]) for port in ports]
        self._edit(host, lambda client: guests.plug_interfaces(client, "br-int", "netdev", plugs))

    def unplug(self, host: str, *ports: str) -> None:
        """Take interfaces off a simulated switch."""
        self._edit(host, lambda client: guests.unplug_interfaces(client, ports))

    def replug(self, host: str, ports: Set[str], within_s: float = PATIENCE_S) -> None:
        """Let these ports' interfaces and no others be plugged."""
        plugs = [guests.Plug(port_id=port, namespace="", mac="") for port in sorted(ports)]

        async def replace(client: OvsdbClient) -> None:
            rows = client.by_name("Interface").values()
            present = {row["external_ids"].get("iface-id") for row in rows} - {None}
            if present - ports:
                await guests.unplug_interfaces(client, sorted(present - ports))
            if ports - present:
                await guests.plug_interfaces(client, "br-int", "netdev", plugs)

        self._edit(host, replace, within_s)

    def _edit(
        self, host: str, act: Callable[[OvsdbClient], Awaitable[None]], within_s: float = PATIENCE_S
    ) -> None:
        async def connected() -> None:
            client = OvsdbClient(f"unix:{self.folder.hosts / host / 'db.sock'}", retry_s=0.02)
            try:
                async with asyncio.timeout(within_s):
                    await client.connect(within_s)
                    await act(client)
            finally:
                await client.close()

        asyncio.run(connected())

    def hosts(self) -> list[str]:
        """The names of the simulated hosts."""
        return sorted(path.name for path in self.folder.hosts.glob("host-*"))

    def installed(self, host: str) -> Installed:
        """What is on a simulated switch, as its state file has it (0.2 s late)."""
        file = self.folder.hosts / host / "switch.json"
        state = json.loads(until(lambda: file.read_bytes() if file.exists() else b""))
        rows = {
            table: {
                row.get("name", table): {k: v for k, v in row.items() if k not in _VOLATILE}
                for row in sorted(state["rows"].get(table, {}).values(), key=lambda row: row.get("name", ""))
            }
            for table in ("Bridge", "Interface", "Port", "QoS", "Queue")
        }
        return Installed(rows, {bridge: sorted(flows) for bridge, flows in sorted(state["flows"].items())})

    def settled(self, for_s: float = 0.5) -> dict[str, Installed]:
        """What is installed, once it stays the same for longer than a switch takes to save it (0.2 s)."""
        before, since = self.all_installed(), time.monotonic()
        while time.monotonic() - since < for_s:
            time.sleep(0.1)
            if (now := self.all_installed()) != before:
                before, since = now, time.monotonic()
        return before

    def all_installed(self) -> dict[str, Installed]:
        return {host: self.installed(host) for host in self.hosts()}


@contextlib.contextmanager
def simulated_cloud(settings: str = "", hosts: int = 2, *, up: bool = True) -> Iterator[Cloud]:
    """A simulated cloud that is up, and gone afterwards."""
    with short_folder() as folder:
        cloud = Cloud(folder / "c", "--simulated", settings=settings, hosts=hosts)
        try:
            if up:
                cloud.up()
            yield cloud
        finally:
            cloud.end()


def program(name: str) -> str:
    """A program of the virtual environment that runs the tests."""
    return str(Path(sys.executable).with_name(name))
