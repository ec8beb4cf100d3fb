"""Live migrations carried out by the agents of two simulated hosts, killed at each thing that they do."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.api.compute.cloud import IMAGE, Cloud, Host, Node, tell
from tests.api.compute.test_live_migration import LIVE, bindings, listed
from tests.api.compute.test_resize import promised, rows
from tests.api.compute.test_shelve import state_of
from tests.unit.hypervisor.bench import Bench
from tests.waiting import PATIENCE_S

from pileus.core.errors import Unavailable
from pileus.core.streams import ByteStream
from pileus.drivers.libvirt.hypervisor import HypervisorUnavailable, Power
from pileus.host.hypervisor.passage import Identity, NoPassage, Way
from pileus.services.image.images.tables import images
from pileus.store.events import newest_position
from pileus.wire.agents import Wakeup
from pileus.wire.calls import Call

CONTENT = b"an image" * 1000
HERE, THERE = "h1", "h2"


class Line:
    """A host's line to the server, on which its agent can be stopped in the middle of anything.

    ``left``: how many more things it does before it stands still (None: it never does)."""

    def __init__(self, api: Cloud, host: str) -> None:
        self.api, self.host = api, host
        self.left: int | None = None
        self.done = 0
        self.stands_still = asyncio.Event()
        self.dies = asyncio.Event()
        self.states: dict[str, Any] = {}

    async def step(self) -> None:
        """One thing more is about to be done."""
        self.done += 1
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.stands_still.set()
                await self.dies.wait()
        if self.dies.is_set():
            raise HypervisorUnavailable("any", "whoever asks is dead")

    async def call(self, call: Call[Any, Any], request: Any) -> Any:
        try:
            await self.step()
        except HypervisorUnavailable as error:
            raise Unavailable(str(error)) from None
        answer = await self.api.wire[call.name](request, Node(self.host))
        return msgspec.msgpack.decode(msgspec.msgpack.encode(answer), type=call.reply)

    async def wakeups(self, host: str, scopes: tuple[str, ...]) -> AsyncIterator[Wakeup]:
        known = -1
        while True:
            position = await self.api.store.read(newest_position, set(scopes))
            if position != known:
                yield Wakeup(position, scopes if known >= 0 else ())
                known = position
            await asyncio.sleep(0.02)

    async def stream(self, name: str) -> ByteStream:
        raise Unavailable("nobody looks at consoles here")

    async def download(self, path: str) -> AsyncIterator[bytes]:
        yield CONTENT


_VERBS = (
    *("stats", "way_out", "migrate", "migration_stats", "abort_migration", "way_closed", "expect"),
    *("channel", "definition"),
)


class World:
    """A cloud, two hosts with agents, a conductor that works, and a server on the first host."""

    def __init__(self, api: Cloud, folder: Path) -> None:
        self.api = api
        self.scripted = {name: Host(api, name) for name in (HERE, THERE)}
        self.lines = {name: Line(api, name) for name in (HERE, THERE)}
        self.nodes = {}
        for name, line in self.lines.items():
            (folder / name).mkdir()
            node = Bench(folder / name, line, host=name, migration_address="127.0.0.1")
            node.hypervisor.migration_s = 0.05
            for verb in _VERBS:
                setattr(node.hypervisor, verb, _stepping(getattr(node.hypervisor, verb), line))
            self.nodes[name] = node

    async def begin(self) -> str:
        api = self.api
        digest = hashlib.sha512(CONTENT).hexdigest()
        known = {"os_hash_value": digest, "size": len(CONTENT), "disk_format": "raw"}
        await api.store.write(
            lambda tx: tx.execute(images.update().where(images.c.id == IMAGE).values(known))
        )
        await api.a_network()
        await self.scripted[HERE].heartbeat()
        await self.nodes[HERE].start()
        self.conductor = asyncio.create_task(self._conduct())
        await self.until(self._knows(HERE))
        server_id = str((await api.ask_for()).json["server"]["id"])
        await self.until(lambda: self._is(server_id, "ACTIVE", HERE))
        disk = self.nodes[HERE].node.instances / server_id / "disk"
        disk.write_bytes(b"what the guest wrote")
        await self.scripted[THERE].heartbeat()
        await self.nodes[THERE].start()
        await self.until(self._knows(THERE))
        return server_id

    def _knows(self, host: str) -> Callable[[], Awaitable[bool]]:
        async def known() -> bool:
            found = await rows(self.api, "compute_nodes")
            return any(row.host == host and "MII" in (row.certificate or "") for row in found)

        return known

    async def _conduct(self) -> None:
        conductor = self.api.conductor()
        while True:
            await conductor.work()
            for host in self.scripted.values():
                await host.plug()
            await asyncio.sleep(0.02)

    async def _is(self, server_id: str, *wanted: str) -> bool:
        status, task, host = await state_of(self.api, server_id)
        return (status, task, host) == (wanted[0], None, wanted[1])

    async def rests(self, server_id: str) -> bool:
        return (await state_of(self.api, server_id))[1] is None

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not await condition():
                await asyncio.sleep(0.02)

    async def killed(self, host: str) -> None:
        """End an agent without a word, and start another."""
        line = self.lines[host]
        line.dies.set()
        with contextlib.suppress(HypervisorUnavailable):
            await self.nodes[host].kill()
        self.nodes[host]._task = None
        line.left = None
        line.dies.clear()
        line.stands_still.clear()
        await self.nodes[host].start()

    async def close(self) -> None:
        self.conductor.cancel()
        await asyncio.gather(self.conductor, return_exceptions=True)
        for node in self.nodes.values():
            await node.close()

    async def assert_whole(self, server_id: str) -> str:
        """The server runs on one host, and nothing of it is on the other one; the host."""
        status, task, host = await state_of(self.api, server_id)
        assert (status, task) == ("ACTIVE", None)
        other = THERE if host == HERE else HERE

        async def other_is_empty() -> bool:
            node = self.nodes[other]
            return not (powers(node) or node.folders() or await node.taps())

        await self.until(other_is_empty)

        async def runs() -> bool:
            return powers(self.nodes[host]) == {server_id: Power.RUNNING}

        await self.until(runs)
        for node in self.nodes.values():
            await node.full_pass()
        assert powers(self.nodes[host]) == {server_id: Power.RUNNING}
        assert await bindings(self.api, server_id) == (host, [])
        assert await promised(self.api) == {host: (512, 1), other: (0, 0)}
        disk = self.nodes[host].node.instances / server_id / "disk"
        assert disk.read_bytes() == b"what the guest wrote"
        assert await listed(self.api, server_id) == []
        return str(host)


def powers(node: Bench) -> dict[str, Power]:
    """The machines of a host, whether its agent is connected or not."""
    return {uuid: machine.power for uuid, machine in node.hypervisor._machines.items()}


def _stepping(verb: Any, line: Line) -> Any:
    async def stepping(*arguments: Any, **keywords: Any) -> Any:
        await line.step()
        return await verb(*arguments, **keywords)

    return stepping


def play(tmp_path: Path, story: Callable[[World, str], Awaitable[None]]) -> None:
    async def told(api: Cloud) -> None:
        world = World(api, tmp_path)
        try:
            await story(world, await world.begin())
        finally:
            await world.close()

    tell(told, tmp_path)


async def migrate(world: World, server_id: str) -> None:
    answer = await world.api.as_("admin").act(server_id, "os-migrateLive", LIVE)
    assert answer.status == 202, answer


def test_there_and_back(tmp_path: Path) -> None:
    async def story(world: World, server_id: str) -> None:
        for host in (THERE, HERE):
            config = world.nodes[HERE if host == THERE else THERE].node.instances / server_id
            content = (config / "disk.config").read_bytes() if (config / "disk.config").exists() else None
            said = (config / "console.log").read_bytes()
            world.api.clock.advance(1)
            await migrate(world, server_id)
            await world.until(lambda host=host: world._is(server_id, "ACTIVE", host))  # type: ignore[misc]
            assert await world.assert_whole(server_id) == host
            folder = world.nodes[host].node.instances / server_id
            assert (folder / "console.log").read_bytes() == said, "its guest has not started again"
            if content is not None:
                assert (folder / "disk.config").read_bytes() == content

    play(tmp_path, story)


def test_a_restless_guest_is_aborted_and_then_forced(tmp_path: Path) -> None:
    async def story(world: World, server_id: str) -> None:
        admin = world.api.as_("admin")
        world.nodes[HERE].hypervisor.restless.add(server_id)

        async def moves() -> bool:
            return any(one["memory_processed_bytes"] for one in await listed(world.api, server_id))

        for verb in ("abort", "force"):
            world.api.clock.advance(1)
            await migrate(world, server_id)
            await world.until(moves)
            (one,) = await listed(world.api, server_id)
            path = f"/servers/{server_id}/migrations/{one['id']}"
            if verb == "abort":
                assert (await admin("DELETE", path)).status == 202
            else:
                assert (await admin("POST", f"{path}/action", {"force_complete": None})).status == 202
            await world.until(lambda: world.rests(server_id))
            assert await world.assert_whole(server_id) == (HERE if verb == "abort" else THERE)
        found = (await admin("GET", "/os-migrations")).json["migrations"]
        assert [one["status"] for one in found] == ["completed", "cancelled"]

    play(tmp_path, story)


@pytest.mark.nightly
@pytest.mark.parametrize("host", [HERE, THERE])
def test_an_agent_is_killed_at_each_thing_that_it_does(tmp_path: Path, host: str) -> None:
    """The server ends on one host, whole, and can be migrated again."""
    things: list[int] = []

    async def count(world: World, server_id: str) -> None:
        before = world.lines[host].done
        await migrate(world, server_id)
        await world.until(lambda: world.rests(server_id))
        things.append(world.lines[host].done - before)

    (tmp_path / "count").mkdir()
    play(tmp_path / "count", count)
    ends = set()
    for number in range(things[0]):

        async def kill(world: World, server_id: str, number: int = number) -> None:
            line = world.lines[host]
            line.left = number
            await migrate(world, server_id)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(5):
                    await line.stands_still.wait()
            await world.killed(host)
            await world.until(lambda: world.rests(server_id))
            where = await world.assert_whole(server_id)
            ends.add(where)
            if where == HERE:
                world.api.clock.advance(1)
                await migrate(world, server_id)
                await world.until(lambda: world.rests(server_id))
                assert await world.assert_whole(server_id) == THERE

        (tmp_path / str(number)).mkdir()
        play(tmp_path / str(number), kill)
    assert THERE in ends


def test_a_third_host_is_not_let_in(tmp_path: Path) -> None:
    """Who has another certificate than the one that the server has told gets nowhere."""

    async def story(world: World, server_id: str) -> None:
        world.nodes[HERE].hypervisor.restless.add(server_id)
        await migrate(world, server_id)

        async def moves() -> bool:
            return (
                bool(await listed(world.api, server_id))
                and (await listed(world.api, server_id))[0]["status"] == "running"
            )

        await world.until(moves)
        (operation,) = [
            one for one in await rows(world.api, "operations") if one.kind == "server.live_migrate"
        ]
        door = operation.data["target"]
        found = {row.host: row.certificate for row in await rows(world.api, "compute_nodes")}
        stranger = Identity("h3")
        way = Way((door["address"], door["port"]), stranger.context(found[THERE], listens=False))
        with pytest.raises(NoPassage):
            await way.ask({"ask": "power"})
        nobody = ssl.create_default_context()
        nobody.check_hostname, nobody.verify_mode = False, ssl.CERT_NONE
        with pytest.raises(NoPassage):
            await Way((door["address"], door["port"]), nobody).ask({"ask": "power"})
        there = world.nodes[THERE].running._identity
        wrong = Way((door["address"], door["port"]), there.context(stranger.certificate, listens=False))
        with pytest.raises(NoPassage):
            await wrong.ask({"ask": "power"})
        here = world.nodes[HERE].running._identity
        right = Way((door["address"], door["port"]), here.context(found[THERE], listens=False))
        assert (await right.ask({"ask": "power"}))["here"] is False
        for wish in (
            {"ask": "file", "name": "../x", "size": 1},
            {"ask": "file", "name": "disk.config", "size": 1 << 40},
            {"ask": "everything"},
            {"channel": "monitor"},
            {"ask": "prepare", "disks": {"vda": 1 << 50}},
        ):
            with pytest.raises(NoPassage):
                await right.ask(wish)

    play(tmp_path, story)
