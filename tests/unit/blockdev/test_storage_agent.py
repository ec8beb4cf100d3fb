"""The storage agent over simulated pools: goals, operations, restarts, and parts that are away."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.waiting import until

from pileus.core.clock import SystemClock
from pileus.drivers.backups.chunks import Backups
from pileus.drivers.backups.objects import FolderObjects
from pileus.drivers.exports.iscsi import SimulatedTgt
from pileus.drivers.pools.directory import DirectoryPool
from pileus.drivers.pools.pool import PoolUnavailable, StoredInUse
from pileus.drivers.pools.simulated import simulated_pool
from pileus.drivers.qemu_img.images import empty_qcow2
from pileus.drivers.qemu_img.simulated import SimulatedImages
from pileus.host.agent import AgentSettings
from pileus.host.blockdev.agent import StorageAgent, StorageSettings
from pileus.host.blockdev.exports import IscsiExporter
from pileus.host.blockdev.pools import GIB, PoolParts
from pileus.host.blockdev.section import DirectoryDeclaration
from pileus.host.hypervisor.images import ImageCache
from pileus.wire import volume as wire
from pileus.wire.questions import Question
from pileus.wire.volume import (
    GroupMember,
    StoredVolume,
    VolumeBackup,
    VolumeEncryption,
    VolumeExport,
    VolumeImage,
    VolumeOperation,
    VolumeSource,
)

from .volume_server import HOST, POOL, VolumeServer, uid

Story = Callable[["Scene"], Awaitable[None]]


class Scene:
    """A server, and an agent that may be ended and begun at any time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.server = VolumeServer()
        self.tgt = SimulatedTgt()
        self.pool: DirectoryPool
        self.agent: StorageAgent
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        self.pool = simulated_pool(self.root / "pool", 100 * GIB)
        declared = DirectoryDeclaration(name=POOL, path=str(self.root / "pool"))
        self.agent = StorageAgent(
            AgentSettings(host=HOST),
            StorageSettings(folder=self.root / "agent", durable=False, watch_interval_s=0.05),
            self.server,
            SystemClock(),
            [PoolParts(declared, self.pool, "simulated")],
            ImageCache(self.root / "cache", SimulatedImages()),
            Backups(FolderObjects(self.root / "backups"), chunk=1 << 26),
            [IscsiExporter(self.tgt, "192.0.2.1")],
        )
        self._task = asyncio.create_task(self.agent.run())

    async def end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def restart(self) -> None:
        await self.end()
        await self.begin()

    async def done(self, *operations: str) -> None:
        await until(lambda: all(uid(one) in self.server.operations for one in operations))

    async def settled(self) -> None:
        while True:
            await self.agent.reconciler.settled()
            await until(lambda: self.agent.jobs.is_idle)
            if self.agent.reconciler.is_resting and self.agent.jobs.is_idle:
                return

    async def volumes(self) -> set[str]:
        return set((await self.pool.contents()).volumes)

    def transfers(self) -> list[str]:
        return [path.name for path in (self.root / "agent" / "transfers").iterdir()]


@pytest.fixture
def play(tmp_path: Path) -> Callable[[Story], None]:
    @contextlib.asynccontextmanager
    async def running() -> AsyncIterator[Scene]:
        scene = Scene(tmp_path)
        await scene.begin()
        try:
            yield scene
        finally:
            await scene.end()

    def act(story: Story) -> None:
        async def go() -> None:
            async with asyncio.timeout(60):
                async with running() as scene:
                    await story(scene)

        asyncio.run(go())

    return act


async def made(scene: Scene, *names: str) -> None:
    for name in names:
        scene.server.operate(name, f"make {name}", wire.CREATE, size_gib=1)
    await scene.done(*(f"make {name}" for name in names))


def here(name: str, **more: Any) -> VolumeExport:
    return VolumeExport(uid(name), HOST, protocols=("file", "nbd"), **more)


def test_a_volume_comes_and_goes(play: Callable[[Story], None]) -> None:
    async def story(scene: Scene) -> None:
        await made(scene, "v1", "v2")
        assert await scene.volumes() == {uid("v1"), uid("v2")}
        scene.server.operate("v1", "larger", wire.EXTEND, size_gib=3)
        scene.server.operate("v1", "kept", wire.SNAPSHOT, snapshot_id=uid("s1"))
        scene.server.operate("v1", "larger still", wire.EXTEND, size_gib=4)
        await scene.done("larger", "kept", "larger still")
        assert scene.server.order[2:] == [uid("larger"), uid("kept"), uid("larger still")]
        stored = (await scene.pool.contents()).volumes[uid("v1")]
        assert (stored.size, stored.snapshots) == (4 * GIB, {uid("s1"): 3 * GIB})
        scene.server.operate("v1", "back", wire.REVERT, snapshot_id=uid("s1"))
        scene.server.operate("v1", "no snapshot", wire.DELETE_SNAPSHOT, snapshot_id=uid("s1"))
        scene.server.operate("v1", "end", wire.DELETE)
        await scene.done("back", "no snapshot", "end")
        assert {one: scene.server.operations[one].error for one in scene.server.order} == dict.fromkeys(
            scene.server.order
        )
        scene.server.forget("v1")
        await scene.settled()
        assert await scene.volumes() == {uid("v2")}

    play(story)


def test_pools_are_told_with_each_heartbeat(play: Callable[[Story], None]) -> None:
    async def story(scene: Scene) -> None:
        await made(scene, "v1")
        await until(lambda: bool(scene.server.pools) and scene.server.pools[0].free_bytes == 99 * GIB)
        (pool,) = scene.server.pools
        assert (pool.name, pool.backend_name, pool.driver, pool.error) == (POOL, POOL, "simulated", None)
        assert (pool.total_bytes, pool.thin, pool.backups) == (100 * GIB, True, True)
        await scene.restart()
        await until(lambda: scene.server.present == (StoredVolume(uid("v1"), POOL),))

    play(story)


def test_exports_are_open_as_long_as_they_are_wanted(play: Callable[[Story], None]) -> None:
    async def story(scene: Scene) -> None:
        await made(scene, "v1")
        scene.server.export("v1", here("e1"), VolumeExport(uid("e2"), "n2", protocols=("file", "nbd")))
        await until(lambda: {uid("e1"), uid("e2")} <= scene.server.exports.keys())
        connection = scene.server.exports[uid("e1")].connection
        assert connection is not None
        place = await scene.pool.place(uid("v1"))
        assert (connection.kind, connection.path) == ("file", str(place.path))
        assert connection.disk_format == "qcow2"
        refused = scene.server.exports[uid("e2")]
        assert refused.connection is None and "n2" in (refused.error or "")
        scene.server.export("v1", here("e1"))
        scene.server.operate("v1", "kept", wire.SNAPSHOT, snapshot_id=uid("s1"))
        await scene.done("kept")
        place = await scene.pool.place(uid("v1"))
        await until(lambda: _path(scene, "e1") == str(place.path))
        scene.server.export_reports.clear()
        await scene.restart()
        await until(lambda: [one.export_id for one in scene.server.export_reports] == [uid("e1")])

    play(story)


def test_other_hosts_open_volumes_by_iscsi(play: Callable[[Story], None]) -> None:
    async def story(scene: Scene) -> None:
        await made(scene, "v1")
        elsewhere = VolumeExport(uid("e1"), "n2", protocols=("file", "iscsi"))
        scene.server.export("v1", elsewhere)
        await until(lambda: uid("e1") in scene.server.exports)
        assert "qcow2" in (scene.server.exports[uid("e1")].error or ""), "it would see the wrong bytes"
        scene.server.export("v1")
        declared = DirectoryDeclaration(name=POOL, path=str(scene.root / "pool"), format="raw")
        parts = PoolParts(declared, scene.pool, "simulated")
        scene.agent.pools = {POOL: parts}
        await made(scene, "v2")
        elsewhere = VolumeExport(uid("e2"), "n2", protocols=("file", "iscsi"))
        scene.server.export("v2", elsewhere)
        await until(lambda: uid("e2") in scene.tgt.logins)
        await until(lambda: uid("e2") in scene.server.exports)
        connection = scene.server.exports[uid("e2")].connection
        login = scene.tgt.logins[uid("e2")]
        assert connection is not None
        assert (connection.kind, connection.address, connection.name) == ("iscsi", "192.0.2.1", login.target)
        assert (connection.username, connection.password) == (login.username, login.password)
        await scene.settled()
        scene.tgt.logins.clear()
        await until(lambda: scene.tgt.logins.get(uid("e2")) == login)
        await scene.restart()
        await scene.settled()
        assert scene.tgt.logins == {uid("e2"): login}, "it is found again"
        await scene.end()
        scene.server.export("v2")
        await scene.begin()
        await until(lambda: scene.tgt.logins == {})

    play(story)


def _path(scene: Scene, export: str) -> str:
    connection = scene.server.exports[uid(export)].connection
    return connection.path if connection is not None else ""


def test_a_volume_that_is_lost_is_said(play: Callable[[Story], None]) -> None:
    async def story(scene: Scene) -> None:
        await made(scene, "v1")
        await scene.settled()
        await scene.pool.delete(uid("v1"))
        scene.server.export("v1", here("e1"))
        await until(lambda: uid("e1") in scene.server.exports)
        assert "no volume" in (scene.server.exports[uid("e1")].error or "")

    play(story)


def test_of_an_image_of_a_volume_and_back(play: Callable[[Story], None]) -> None:
    async def story(scene: Scene) -> None:
        server = scene.server
        image = server.image("i1", empty_qcow2(GIB))
        source = VolumeSource(image=image)
        server.operate("v1", "make", wire.CREATE, size_gib=2, source=source)
        server.operate("v2", "make too", wire.CREATE, size_gib=2, source=source)
        await scene.done("make", "make too")
        assert server.error("make") is server.error("make too") is None
        assert server.downloads == ["i1"], "what many need is fetched once"
        small = server.image("i2", empty_qcow2(5 * GIB))
        server.operate("v3", "too small", wire.CREATE, size_gib=2, source=VolumeSource(image=small))
        bad = server.image("i3", empty_qcow2(GIB, "/etc/passwd", "raw"))
        server.operate("v4", "hostile", wire.CREATE, size_gib=2, source=VolumeSource(image=bad))
        await scene.done("too small", "hostile")
        assert "smaller" in (server.error("too small") or "")
        assert "backing file" in (server.error("hostile") or "")
        server.operate("v5", "clone", wire.CREATE, size_gib=2, source=VolumeSource(volume_id=uid("v1")))
        server.operate("v1", "rewritten", wire.REWRITE, source=source)
        brought = VolumeImage(uid("i9"), "qcow2", "/image/i9?ticket=u", "/image/i9?ticket=d")
        server.operate("v1", "brought", wire.UPLOAD, image=brought)
        await scene.done("clone", "rewritten", "brought")
        assert [server.error(one) for one in ("clone", "rewritten", "brought")] == [None] * 3
        assert server.images["i9"][:4] == b"QFI\xfb"
        assert scene.transfers() == []
        assert await scene.volumes() == {uid("v1"), uid("v2"), uid("v5")}

    play(story)


def test_a_backup_and_back(play: Callable[[Story], None]) -> None:
    async def story(scene: Scene) -> None:
        server = scene.server
        await made(scene, "v1")
        whole = VolumeBackup(uid("b1"), "volumes")
        sequel = VolumeBackup(uid("b2"), "volumes", parent_id=uid("b1"))
        server.operate("v1", "whole", wire.BACKUP, backup=whole)
        server.operate("v1", "sequel", wire.BACKUP, backup=sequel)
        server.operate("v1", "restored", wire.RESTORE, backup=sequel)
        await scene.done("whole", "sequel", "restored")
        assert [server.error(one) for one in ("whole", "sequel", "restored")] == [None] * 3
        assert server.operations[uid("whole")].result["object_count"] == 1, "zeros are no objects"
        server.operate("v2", "anew", wire.CREATE, size_gib=1, source=VolumeSource(backup=whole))
        await scene.done("anew")
        assert server.error("anew") is None
        for name in ("b1", "b2"):
            backup = VolumeBackup(uid(name), "volumes")
            server.of_host.append(VolumeOperation(uid(f"no {name}"), wire.DELETE_BACKUP, backup=backup))
        server.changed("volumes:n1")
        await scene.done("no b1", "no b2")
        assert not list((scene.root / "backups").rglob("*.json"))
        assert scene.transfers() == []

    play(story)


def test_a_group_is_kept_at_one_moment_and_a_backup_is_verified(play: Callable[[Story], None]) -> None:
    async def story(scene: Scene) -> None:
        server = scene.server
        for name in ("v1", "v2"):
            await made(scene, name)
        members = tuple(GroupMember(uid(name), POOL, uid(f"s of {name}")) for name in ("v1", "v2"))
        lost = (*members, GroupMember(uid("v3"), POOL, uid("s of v3")))
        elsewhere = (*members, GroupMember(uid("v3"), "other", uid("s of v3")))
        for name, wanted in (("all", members), ("lost", lost), ("elsewhere", elsewhere), ("none", ())):
            server.of_host.append(VolumeOperation(uid(name), wire.SNAPSHOT_GROUP, members=wanted))
        backup = VolumeBackup(uid("b1"), "volumes")
        server.of_host.append(VolumeOperation(uid("early"), wire.VERIFY_BACKUP, size_gib=1, backup=backup))
        server.changed("volumes:n1")
        await scene.done("all", "lost", "elsewhere", "none", "early")
        assert server.error("all") is None
        assert all(server.error(name) for name in ("lost", "elsewhere", "none", "early"))
        stored = (await scene.pool.contents()).volumes
        assert {key: set(one.snapshots) for key, one in stored.items()} == {
            one.volume_id: {one.snapshot_id} for one in members
        }
        server.operate("v1", "backup", wire.BACKUP, backup=backup)
        await scene.done("backup")
        for name, size in (("right", 1), ("wrong", 2)):
            server.of_host.append(
                VolumeOperation(uid(name), wire.VERIFY_BACKUP, size_gib=size, backup=backup)
            )
        server.changed("volumes:n1")
        await scene.done("right", "wrong")
        assert server.operations[uid("right")].result == {"object_count": 1}
        assert server.error("wrong") is not None

    play(story)


def test_what_this_node_does_not_know_is_refused(play: Callable[[Story], None]) -> None:
    async def story(scene: Scene) -> None:
        server = scene.server
        await made(scene, "v1")
        server.operate("v1", "magic", "transmute")
        server.operate("v1", "unknown", wire.REVERT, snapshot_id=uid("nobody's"))
        secret = VolumeEncryption(b"very secret")
        server.put(wire.VolumeDetails(uid("v2"), POOL, 1, ready=False, encryption=secret))
        server.operate("v2", "sealed", wire.CREATE, size_gib=1)
        server.operate("v3", "nowhere", wire.CREATE, size_gib=1, pool="gone")
        await scene.done("magic", "unknown", "sealed", "nowhere")
        assert "does not know" in (server.error("magic") or "")
        assert "no snapshot" in (server.error("unknown") or "")
        assert "encrypt" in (server.error("sealed") or "") and "secret" not in (server.error("sealed") or "")
        assert "no pool gone" in (server.error("nowhere") or "")
        server.ask(Question(uid("q"), wire.MANAGEABLE, {"pool": POOL}))
        await until(lambda: bool(server.answers))

    play(story)


def test_an_operation_happens_once_whoever_is_away(play: Callable[[Story], None]) -> None:
    async def story(scene: Scene) -> None:
        await made(scene, "v1")
        await scene.settled()
        calls, snapshot = [], scene.pool.snapshot

        async def counted(volume_id: str, snapshot_id: str) -> None:
            calls.append(snapshot_id)
            await snapshot(volume_id, snapshot_id)
            scene.server.away = True

        scene.pool.snapshot = counted  # type: ignore[method-assign]
        scene.server.operate("v1", "kept", wire.SNAPSHOT, snapshot_id=uid("s1"))
        await until(lambda: uid("kept") in scene.agent.journal.ended)
        await scene.end()
        scene.server.away = False
        await scene.begin()
        scene.pool.snapshot = counted  # type: ignore[method-assign]
        await scene.done("kept")
        await scene.settled()
        assert calls == [uid("s1")]
        await scene.restart()
        await scene.settled()
        assert scene.agent.journal.ended == {}, "nobody asks for it any more"

    play(story)


def test_the_end_of_an_operation_on_a_backup_is_told_by_the_next_agent(
    play: Callable[[Story], None],
) -> None:
    async def story(scene: Scene) -> None:
        await scene.settled()
        assert scene.agent._backups is not None
        deleting = scene.agent._backups.delete

        async def away_then(backup_id: str, *, container: str) -> None:
            await deleting(backup_id, container=container)
            scene.server.away = True

        scene.agent._backups.delete = away_then  # type: ignore[method-assign]
        backup = VolumeBackup(uid("b1"), "volumes")
        scene.server.of_host.append(VolumeOperation(uid("gone"), wire.DELETE_BACKUP, backup=backup))
        scene.server.changed("volumes:n1")
        await until(lambda: uid("gone") in scene.agent.journal.ended)
        await scene.end()
        scene.server.away = False
        await scene.begin()
        await scene.done("gone")

    play(story)


def test_an_agent_that_ends_in_between_begins_anew(play: Callable[[Story], None]) -> None:
    async def story(scene: Scene) -> None:
        reached = asyncio.Event()

        async def slow(*_: Any, **__: Any) -> None:
            reached.set()
            await asyncio.Event().wait()

        image = scene.server.image("i1", empty_qcow2(GIB))
        scene.pool._images.fill = slow  # type: ignore[method-assign]
        scene.server.operate("v1", "make", wire.CREATE, size_gib=2, source=VolumeSource(image=image))
        await reached.wait()
        await scene.restart()
        await scene.done("make")
        assert scene.server.error("make") is None
        assert await scene.volumes() == {uid("v1")}

    play(story)


def test_a_pool_that_is_away_is_waited_for(play: Callable[[Story], None]) -> None:
    async def story(scene: Scene) -> None:
        await made(scene, "v1")
        await scene.settled()
        create = scene.pool.create
        tries = []

        async def away(*_: Any) -> Any:
            tries.append(1)
            if len(tries) < 3:
                raise PoolUnavailable("create", "the folder is not mounted")
            scene.pool.create = create  # type: ignore[method-assign]
            return await create(*_)

        scene.pool.create = away  # type: ignore[method-assign]
        scene.server.operate("v2", "make", wire.CREATE, size_gib=1)
        await scene.done("make")
        assert scene.server.error("make") is None

    play(story)


def test_whoever_is_slow_to_let_go_gets_a_moment(play: Callable[[Story], None]) -> None:
    async def story(scene: Scene) -> None:
        await made(scene, "v1")
        await scene.settled()
        tries, delete = [], scene.pool.delete

        async def busy(volume_id: str) -> None:
            tries.append(1)
            if len(tries) < 2:
                raise StoredInUse("delete", f"/secret/place of {volume_id} is open")
            await delete(volume_id)

        scene.pool.delete = busy  # type: ignore[method-assign]
        scene.server.operate("v1", "end", wire.DELETE)
        await scene.done("end")
        assert scene.server.error("end") is None
        assert await scene.volumes() == set()

    play(story)


def test_where_files_lie_is_told_to_nobody(play: Callable[[Story], None]) -> None:
    async def story(scene: Scene) -> None:
        async def broken(*_: Any) -> None:
            raise OSError(5, "Input/output error", "/var/lib/pileus/volumes/x")

        scene.pool.create = broken  # type: ignore[method-assign,assignment]
        scene.server.operate("v1", "make", wire.CREATE, size_gib=1)
        await scene.done("make")
        assert "Input/output error" in (scene.server.error("make") or "")
        assert "/var" not in (scene.server.error("make") or "")

    play(story)


def test_a_full_pass_changes_nothing(play: Callable[[Story], None]) -> None:
    async def story(scene: Scene) -> None:
        await made(scene, "v1", "v2")
        scene.server.export("v1", here("e1"))
        await until(lambda: uid("e1") in scene.server.exports)
        await scene.settled()
        scene.agent.reconciler.wake(reread=True, inspect=True)
        await scene.settled()
        assert scene.agent.metrics.changes_of_last_full_pass == 0

    play(story)
