"""Killed, cut off and hung up on at any moment: in the end what is there is what is wanted.

Simulated hosts, but real processes, real sockets and a real database. The agents make a full pass by
themselves only every five minutes, so what is repaired here is repaired by the mechanisms: the stream of
wake-ups, the comparison of positions by heartbeat, and the pass at the start.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.clouds import NETWORK, PATIENCE_S, Api, Cloud, short_folder, simulated_cloud, until

from pileus.core.clock import SystemClock
from pileus.core.context import system_context
from pileus.resource.rows import fetch
from pileus.services.network.ports.resource import PORT
from pileus.services.network.service import FOLLOWERS, NetworkConfig, port_delete
from pileus.store import Store
from pileus.store.tx import Tx

SEED = int(
    os.environ.get("PILEUS_TEST_SEED")
    or (1 if os.environ.get("CI") else random.SystemRandom().randrange(1, 10**6))
)
STEPS = 60
HEARTBEAT_S = 1.0
HOSTS = ("host-1", "host-2")
GONE = (OSError, http.client.HTTPException)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with simulated_cloud(f"[network]\nheartbeat_interval_s = {HEARTBEAT_S}\n") as cloud:
        yield cloud


@pytest.fixture
def fresh_cloud() -> Iterator[Cloud]:
    """One whose supervisor has not learned patience yet."""
    with simulated_cloud(f"[network]\nheartbeat_interval_s = {HEARTBEAT_S}\n") as cloud:
        yield cloud


class Story:
    """What was asked of the cloud, and what it said yes to."""

    def __init__(self, cloud: Cloud, seed: int) -> None:
        self.cloud = cloud
        self.dice = random.Random(seed)
        self.api = Api(cloud, timeout_s=5)
        self.api.token = cloud.api.login()
        self.networks = [cloud.api.network(f"n{n}", f"10.{n}.0.0/24") for n in range(3)]
        self.promised: dict[str, dict[str, Any]] = {}
        """Ports that the API said are there, with what it said of them last."""
        self.deleted: set[str] = set()
        self.doubtful: set[str] = set()
        """Ports of which some request was never answered."""
        self.plugged: dict[str, set[str]] = {host: set() for host in HOSTS}
        self.plugs = 0
        self.killed: list[int] = []

    def ask(self, method: str, path: str, body: Any = None, *, port: str = "") -> Any:
        """One request; None where no answer came."""
        try:
            answer = self.api.ask(method, NETWORK + path, body)
        except GONE:
            self.doubtful.add(port)
            return None
        assert answer.status < 500 or answer.status == 503, answer
        return answer

    def create(self) -> None:
        port: dict[str, Any] = {"network_id": self.dice.choice(self.networks)}
        if self.dice.random() < 0.7:
            port["binding:host_id"] = self.dice.choice(HOSTS)
        count = self.dice.choice((1, 1, 5))
        body = {"port": port} if count == 1 else {"ports": [port] * count}
        answer = self.ask("POST", "/ports", body)
        if answer is not None and answer.status == 201:
            for made in answer.json.get("ports") or [answer.json["port"]]:
                self.promised[made["id"]] = made

    def update(self) -> None:
        if port := self.pick():
            change: dict[str, Any] = self.dice.choice(
                [
                    {"name": f"name-{self.dice.randrange(100)}"},
                    {"binding:host_id": self.dice.choice((*HOSTS, ""))},
                    {"admin_state_up": self.dice.random() < 0.8},
                    {"port_security_enabled": False, "security_groups": []},
                ]
            )
            answer = self.ask("PUT", f"/ports/{port}", {"port": change}, port=port)
            if answer is not None and answer.status == 200:
                self.promised[port] = answer.json["port"]

    def delete(self) -> None:
        if port := self.pick():
            answer = self.ask("DELETE", f"/ports/{port}", port=port)
            if answer is not None and answer.status in (204, 404):
                self.promised.pop(port)
                self.deleted.add(port)

    def plug(self) -> None:
        """The hypervisor's part, which knows nothing of Pileus: interfaces come and go on a switch."""
        if port := self.pick():
            host = self.promised[port]["binding:host_id"] or self.dice.choice(HOSTS)
            if not any(port in ports for ports in self.plugged.values()):
                self.plugged[host].add(port)
                self.plugs += 1
                self.edit(host)

    def unplug(self) -> None:
        host = self.dice.choice(HOSTS)
        if self.plugged[host]:
            self.plugged[host].discard(self.dice.choice(sorted(self.plugged[host])))
            self.edit(host)

    def edit(self, host: str) -> None:
        """Bring the interfaces on a switch to what the story says, if the switch is there."""
        with contextlib.suppress(Exception):
            self.cloud.replug(host, self.plugged[host], within_s=2)

    def hang_up(self) -> None:
        """A client that goes away in the middle: of its request, or before the answer."""
        body = json.dumps({"port": {"network_id": self.networks[0], "name": "hung-up"}}).encode()
        head = f"POST {NETWORK}/ports HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {self.api.token}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        whole = head.encode() + body
        with contextlib.suppress(OSError), socket.create_connection(_pair(self.cloud.address), 2) as client:
            client.sendall(whole[: self.dice.choice((10, len(head), len(head) + 10, len(whole)))])
            if self.dice.random() < 0.5:
                time.sleep(self.dice.random() * 0.01)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close by reset

    def kill(self) -> None:
        alive = [pid for name, pid in self.cloud.pids().items() if pid and name != "supervisor"]
        if alive:  # after two kills in a row there may be nobody
            self.killed.append(self.dice.choice(alive))
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.killed[-1], signal.SIGKILL)

    def pick(self) -> str:
        return self.dice.choice(sorted(self.promised)) if self.promised else ""

    def wanted(self, port: dict[str, Any]) -> str:
        plugged = port["id"] in self.plugged.get(port["binding:host_id"], ())
        return "ACTIVE" if plugged and port["admin_state_up"] else "DOWN"


def _pair(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


@pytest.mark.parametrize("offset", [0, 1])
def test_killed_at_any_moment_of_a_stream_of_changes(fresh_cloud: Cloud, offset: int) -> None:
    cloud, seed = fresh_cloud, SEED + offset
    print(f"seed {seed}: PILEUS_TEST_SEED={seed} tells the same story")
    until(lambda: all("vxlan" in one.text() for one in cloud.all_installed().values()))
    bare = {host: one.lasting() for host, one in cloud.settled().items()}
    story = Story(cloud, seed)
    acts = (
        [story.create] * 5 + [story.plug] * 5 + [story.update] * 3 + [story.delete] * 2
        + [story.unplug] * 2 + [story.hang_up] * 2
    )  # fmt: skip
    killers: list[threading.Timer] = []
    kills = sorted(story.dice.sample(range(5, STEPS), 4))
    for step in range(STEPS):
        if step in kills:
            # While the others go on: at any moment of a request, a commit, a pass.
            killers.append(threading.Timer(story.dice.random() * 0.05, story.kill))
            killers[-1].start()
        story.dice.choice(acts)()
        if story.dice.random() < 0.2:
            time.sleep(story.dice.random() * 0.3)

    for killer in killers:
        killer.join()
    assert story.promised and story.plugs, "there is something to look at"
    assert len(story.killed) >= 2

    # Quiet. The hypervisors' part is as the story says; the rest must come right by itself.
    cloud.until_ready(without=story.killed)
    cloud.api.close()
    for host in HOSTS:
        cloud.replug(host, story.plugged[host], within_s=PATIENCE_S)
    ports = {port["id"]: port for port in cloud.api.ports()}
    for port, promise in story.promised.items():
        if port not in story.doubtful:
            assert port in ports, "what was promised is kept"
            kept = ("name", "fixed_ips", "mac_address", "binding:host_id", "admin_state_up")
            assert [ports[port][key] for key in kept] == [promise[key] for key in kept]
    assert not ports.keys() & story.deleted - story.doubtful
    addresses = [
        (fixed["subnet_id"], fixed["ip_address"]) for p in ports.values() for fixed in p["fixed_ips"]
    ]
    assert len(addresses) == len(set(addresses))

    def wrong() -> dict[str, tuple[str, str]]:
        found = cloud.api.ports()
        return {p["id"]: (p["status"], story.wanted(p)) for p in found if p["status"] != story.wanted(p)}

    until(lambda: not wrong(), told=lambda: (wrong(), cloud.logs()))
    expect_nothing_to_do(cloud)

    everything = [port["id"] for port in cloud.api.ports()]
    cloud.api.delete("ports", *everything)
    for host in HOSTS:
        cloud.replug(host, set(), within_s=PATIENCE_S)
    cloud.api.delete("networks", *story.networks)
    until(
        lambda: {host: one.lasting() for host, one in cloud.all_installed().items()} == bare,
        told=lambda: [one.text() for one in cloud.all_installed().values()],
    )


def expect_nothing_to_do(cloud: Cloud) -> None:
    """A full pass of all agents (that of their start) changes neither a row nor a flow."""
    before = cloud.settled(for_s=3 * HEARTBEAT_S)
    cloud.kill("agent")
    after = cloud.settled()
    for host in HOSTS:
        assert before[host].lines() == after[host].lines(), host


def test_ports_plugged_while_the_server_is_away_become_active(cloud: Cloud) -> None:
    network = cloud.api.network("away", "10.20.0.0/24")
    ports = [cloud.api.port(network, host="host-1") for _ in range(5)]
    known = {port["id"]: port for port in cloud.api.ports()}
    # Stopped, it neither answers nor lets the connection go; then it dies with it.
    server = cloud.send_signal("server", signal.SIGSTOP)
    cloud.plug("host-1", *ports, known=known)
    time.sleep(5)
    os.kill(server, signal.SIGKILL)
    cloud.until_ready(without=[server])
    cloud.api.close()
    until(lambda: {cloud.api.status(port) for port in ports} == {"ACTIVE"})
    _clear(cloud, network)


def test_a_crash_between_commit_and_publication_delays_only(cloud: Cloud) -> None:
    """The database has a change that nobody was told of, and the server that made it is dead."""
    network = cloud.api.network("crash", "10.21.0.0/24")
    gone, kept = (cloud.api.port(network, host="host-2") for _ in range(2))
    cloud.plug("host-2", gone, kept)
    until(lambda: {cloud.api.status(port) for port in (gone, kept)} == {"ACTIVE"})
    until(lambda: _is_wired(cloud, "host-2", gone))
    server = cloud.send_signal("server", signal.SIGSTOP)
    asyncio.run(_delete_without_a_word(cloud, gone))
    os.kill(server, signal.SIGKILL)
    cloud.until_ready(without=[server])
    cloud.api.close()
    assert cloud.api.ask("GET", f"{NETWORK}/ports/{gone}").status == 404
    until(lambda: not _is_wired(cloud, "host-2", gone))
    assert cloud.api.status(kept) == "ACTIVE"
    _clear(cloud, network)


async def _delete_without_a_word(cloud: Cloud, port: str) -> None:
    """What a server does in its transaction, and nothing of what it does afterwards."""
    context = system_context(SystemClock().now())
    config = NetworkConfig(followers=FOLLOWERS)

    def unit(tx: Tx) -> None:
        port_delete(tx, context, fetch(tx, PORT, [port], []), config=config)

    store = await Store.open(f"sqlite:///{cloud.folder.database}", migrate=False)
    await store.write(unit)
    await store.close()


class Wire:
    """Between the agents and their server: calls pass; what becomes of the stream of wake-ups is ``how``.

    whole: it passes; silent: it is open and brings nothing; refused: it is cut at once; doubled: each part
    comes twice; swapped: of two parts the later comes first (and a last one never).
    """

    def __init__(self, listen: Path, server: Path) -> None:
        self.how = "whole"
        self.streams = 0
        self._listen, self._server = listen, server
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Wire:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(
            asyncio.start_unix_server(self._serve, self._listen), self._loop
        ).result()
        self._listen.chmod(0o666)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def change(self, how: str) -> None:
        """From now on treat streams so; those that are open are closed, so that they come again."""
        self.how = how
        self._loop.call_soon_threadsafe(lambda: [writer.close() for writer in self._open])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_unix_connection(self._server)
        except OSError:
            writer.close()
            return
        self._open.add(writer)
        how = "whole"
        back = asyncio.create_task(self._back(from_server, writer, lambda: how))
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                if b"POST /wire/v1/wakeups" in data:
                    how = self.how
                    self.streams += 1
                    if how == "refused":
                        break
                to_server.write(data)
        to_server.close()
        writer.close()
        self._open.discard(writer)
        await asyncio.gather(back, return_exceptions=True)

    async def _back(self, reader: Any, writer: Any, how: Callable[[], str]) -> None:
        held, parts = b"", 0
        while data := await reader.read(1 << 16):
            parts += how() != "whole"
            if parts < 2:  # the head of the reply, with the position
                writer.write(data)
            elif how() == "doubled":
                writer.write(data + data)
            elif how() == "swapped":
                held, data = (b"", data + held) if held else (data, b"")
                writer.write(data)
        writer.close()


@pytest.mark.parametrize("how", ["silent", "refused", "doubled", "swapped"])
def test_changes_arrive_however_the_stream_of_wake_ups_fares(wire: tuple[Cloud, Wire], how: str) -> None:
    cloud, between = wire
    streams = between.streams
    between.change(how)
    until(lambda: between.streams >= streams + 2)
    network = cloud.api.network(how, "10.30.0.0/24")
    group = {"security_group": {"name": how}}
    group_id = cloud.api.call("POST", f"{NETWORK}/security-groups", group)["security_group"]["id"]
    ports = [cloud.api.port(network, host=host, security_groups=[group_id]) for host in HOSTS]
    for host, port in zip(HOSTS, ports, strict=True):
        cloud.plug(host, port)
    until(lambda: {cloud.api.status(port) for port in ports} == {"ACTIVE"})

    # These no agent notices by itself.
    rule = {"security_group_id": group_id, "direction": "ingress", "protocol": "tcp", "port_range_min": 4321}
    rule["port_range_max"] = 4321  # type: ignore[assignment]
    cloud.api.call("POST", f"{NETWORK}/security-group-rules", {"security_group_rule": rule})
    until(lambda: all("tp_dst=4321" in one.text() for one in cloud.all_installed().values()))
    cloud.api.call("PUT", f"{NETWORK}/ports/{ports[0]}", {"port": {"admin_state_up": False}})
    until(lambda: cloud.api.status(ports[0]) == "DOWN")
    assert cloud.api.status(ports[1]) == "ACTIVE"
    cloud.api.delete("ports", *ports)
    for host, port in zip(HOSTS, ports, strict=True):
        until(lambda host=host, port=port: not _is_wired(cloud, host, port))
    until(lambda: not any("tp_dst=4321" in one.text() for one in cloud.all_installed().values()))
    _clear(cloud, network)


@pytest.fixture(scope="module")
def wire() -> Iterator[tuple[Cloud, Wire]]:
    """A cloud whose agents reach their server through a wire of ours; they report twice a second."""
    with short_folder() as folder:
        settings = f"[network]\nheartbeat_interval_s = 0.5\n[agent]\nserver = 'unix:{folder}/wire'\n"
        cloud = Cloud(folder / "c", "--simulated", settings=settings)
        with Wire(folder / "wire", cloud.folder.socket) as between:
            try:
                cloud.up()
                yield cloud, between
            finally:
                cloud.end()


def _is_wired(cloud: Cloud, host: str, port: str) -> bool:
    row = cloud.installed(host).rows["Port"].get(f"tap{port[:11]}")
    return row is not None and row.get("tag") not in (None, 4095)


def _clear(cloud: Cloud, network: str) -> None:
    for port in cloud.api.ports(network_id=network):
        cloud.api.delete("ports", port["id"])
    cloud.api.delete("networks", network)
    for host in HOSTS:
        cloud.replug(host, set(), within_s=PATIENCE_S)
