"""The storage agent: what cinder-volume is to Cinder, for all pools of a node.

A pass asks the server once for all that changed, and plans each volume: exports to be closed, operations to
be carried out, exports to be opened, in this order. Each volume's work is a job, which the pass does not wait
for; a volume with a job is left alone until that has ended, and is then looked at again.

The agent remembers next to nothing. Pools know their volumes, exports are found again, an operation that was
interrupted is begun anew, and the journal has those that have ended. What lies in a pool and is wanted by
nobody is told, and stays: only an operation deletes.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import msgspec

from pileus.core import log
from pileus.core.clock import Clock
from pileus.core.errors import Fault
from pileus.drivers.backups.chunks import Backups
from pileus.drivers.exports.errors import ExportFailed
from pileus.drivers.pools.pool import Contents, PoolFailed
from pileus.flow.reconcile import Work
from pileus.host.agent import Agent, AgentSettings, Server
from pileus.host.blockdev import pools as pool_parts
from pileus.host.blockdev.desired import Desired, Key
from pileus.host.blockdev.exports import Exporter, Exports
from pileus.host.blockdev.hands import BUSY, LASTING, TRANSIENT, Hands, Refused, Task, told
from pileus.host.blockdev.journal import Journal
from pileus.host.blockdev.operations import carry_out, on_backup, snapshot_group
from pileus.host.blockdev.plan import Todo, plan_volume
from pileus.host.blockdev.pools import PoolParts
from pileus.host.blockdev.told import News
from pileus.host.hypervisor.hands import ImageServer
from pileus.host.hypervisor.images import ImageCache
from pileus.host.hypervisor.jobs import Jobs
from pileus.wire import scopes
from pileus.wire.agents import Wakeup
from pileus.wire.calls import ANSWER, VOLUME_REPORT, VOLUME_STATE
from pileus.wire.hypervisor import OperationReport
from pileus.wire.questions import Answer, Question
from pileus.wire.volume import (
    MANAGEABLE,
    SNAPSHOT_GROUP,
    ExportReport,
    StoredVolume,
    VolumeConnection,
    VolumeDetails,
    VolumeExport,
    VolumeOperation,
    VolumeReport,
    VolumeStateRequest,
)

_log = log.get("host.blockdev")

_HEARTBEAT_RETRY_S = 2.0
_BUSY_TRIES = 8
_AT_ONCE = 4
_BACKUPS = "backups"
"""The job of operations on backups."""
_TIDY = "tidy"
"""The job that gives back room."""


class StorageServer(Server, ImageServer, Protocol):
    """The calls that this agent makes; ``pileus.bus.client.WireClient`` is one."""


class StorageSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``folder``: for the journal, and for files on their way (QEMU's user must be able to pass)."""

    folder: Path
    heartbeat_interval_s: float = 30.0
    availability_zone: str = ""
    backup_place: str = ""
    watch_interval_s: float = 5.0
    durable: bool = True


class StorageAgent(Agent):
    """Brings the volumes of a node's pools to their desired state."""

    binary = "cinder-volume"
    agent_type = "Storage agent"

    def __init__(
        self,
        settings: AgentSettings,
        storage: StorageSettings,
        server: StorageServer,
        clock: Clock,
        pools: Sequence[PoolParts],
        cache: ImageCache,
        backups: Backups | None = None,
        exporters: Sequence[Exporter] = (),
    ) -> None:
        super().__init__(settings, server, clock)
        self._storage = storage
        self.pools: Mapping[str, PoolParts] = {one.name: one for one in pools}
        self.desired = Desired(self.host)
        self.journal = Journal(storage.folder / "journal.json", durable=storage.durable)
        self.news = News(self.host, self._send)
        self.jobs = Jobs(self.reconciler.wake)
        self._cache = cache
        self._backups = backups
        self._away: dict[str, str] = {}
        self._contents: dict[str, Contents] = {}
        self._exports = Exports(self.host, exporters)
        self._held: dict[Key, dict[str, tuple[VolumeExport, VolumeConnection]]] = {}
        self._busy: dict[str, int] = {}
        self._served: frozenset[str] = frozenset()
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._answering: set[asyncio.Task[None]] = set()
        self._strange: tuple[str, ...] = ()
        self._hands = Hands(
            pools=self.pools,
            server=server,
            cache=cache,
            transfers=storage.folder / "transfers",
            backups=backups,
            progress=self.news.progress,
        )

    # -- for the base

    async def prepare(self) -> None:
        await asyncio.to_thread(self._open_folders)
        await asyncio.to_thread(self._cache.open)

    def _open_folders(self) -> None:
        transfers = self._hands.transfers
        self._storage.folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        shutil.rmtree(transfers, ignore_errors=True)  # all of it is begun anew
        for folder in (self._storage.folder, transfers):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o711)
        self.journal.open()

    async def release(self) -> None:
        await self.jobs.close()
        for task in self._answering:
            task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)

    async def watch(self) -> None:
        await asyncio.gather(self.news.run(), self._watch_exports())

    async def _watch_exports(self) -> None:
        """Open exports again whose programs have died."""
        while True:
            await asyncio.sleep(self._storage.watch_interval_s)
            for key, exports in list(self._held.items()):
                held = {export_id: connection for export_id, (_, connection) in exports.items()}
                try:
                    lost = await self._exports.lost(held)
                except ExportFailed:
                    continue
                for export_id in lost:
                    _log.warning("an export is gone: it is opened again", volume=key[1], export=export_id)
                    exports.pop(export_id, None)
                    self.jobs.touch(_job(key))

    async def _close(self, export_id: str) -> None:
        try:
            await self._exports.close(export_id)
        except ExportFailed as error:
            _log.warning("an export can't be closed", export=export_id, error=str(error))

    def configurations(self) -> dict[str, Any]:
        return {"pools": sorted(self.pools), "volumes": len(self.desired.volumes)}

    def scopes(self) -> frozenset[str]:
        return self._served | {scopes.volumes(self.host)}

    def position(self) -> int:
        return self.desired.position

    def unread(self, scopes: Iterable[str], position: int) -> set[str]:
        return self.desired.unread(scopes, position)

    def _woken(self, wakeup: Wakeup) -> None:
        super()._woken(wakeup)
        for question in wakeup.questions:
            task = asyncio.create_task(self._answer(question))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    async def _answer(self, question: Question) -> None:
        answer = Answer(self.host, question.question_id, error="A storage agent does not know this question.")
        if question.kind == MANAGEABLE:
            answer = Answer(self.host, question.question_id, {"volumes": []})
        with contextlib.suppress(Fault):
            await self.call(ANSWER, answer)

    async def _send(self, report: VolumeReport) -> None:
        await self.call(VOLUME_REPORT, report)

    async def _heartbeat(self) -> None:
        """Storage services report here, not among the network's agents."""
        while True:
            self._report_soon.clear()
            pause = _HEARTBEAT_RETRY_S
            try:
                zone, backups = self._storage.availability_zone, self._backups is not None
                reports = [
                    await pool_parts.report(
                        one,
                        zone,
                        backups=backups,
                        backup_place=self._storage.backup_place,
                        error=self._away.get(name),
                    )
                    for name, one in self.pools.items()
                ]
                reply = await self.call(VOLUME_REPORT, VolumeReport(self.host, pools=tuple(reports)))
            except Fault as fault:
                self.report_trouble.fault(fault)
            else:
                self.report_trouble.over()
                pause = self._storage.heartbeat_interval_s
                if reply.position > self.desired.position:
                    self.reconciler.wake(reread=True)
                if self.reconciler.status.failures_in_a_row:
                    self.reconciler.hurry()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._report_soon.wait()

    # -- a pass

    async def reconcile(self, work: Work) -> int:
        everything = work.reread or work.inspect or not self.desired.known
        if everything:
            await self._open_pools(inspect=work.inspect)
        if work.reread:
            self.news.forget()
        dirty, self.jobs.dirty = self.jobs.dirty, set()
        unanswered: Fault | None = None
        try:
            asked = await self._ask(work)
        except Fault as fault:
            if not self.desired.known:
                raise
            asked, unanswered = set(), fault
        try:
            changes = await self._act(asked, dirty, everything=everything or asked is None)
        except Exception:
            self.jobs.dirty |= dirty
            raise
        if unanswered is not None:
            raise unanswered
        return changes

    async def _tidy(self) -> None:
        """Give back room in pools. A volume that is open, or shall be, is left alone."""

        def may_open(pool: str, volume_id: str) -> bool:
            wanted = self.desired.volumes.get((pool, volume_id))
            return bool(self._held.get((pool, volume_id)) or (wanted is not None and wanted.exports))

        for name, one in self.pools.items():
            if name not in self._away:
                try:
                    if done := await one.pool.tidy(partial(may_open, name)):
                        _log.info("room in a pool was given back", pool=name, things=done)
                except PoolFailed as error:
                    _log.warning("a pool can't be tidied", pool=name, error=error.reason)
        self.jobs.lacks_nothing([_TIDY])

    async def _open_pools(self, *, inspect: bool) -> None:
        """Find pools that were away, or all; one that is away keeps no other one waiting."""
        for name, one in self.pools.items():
            if name in self._contents and name not in self._away and not inspect:
                continue
            try:
                if name not in self._contents or name in self._away:
                    await one.pool.open()
                self._contents[name] = await one.pool.contents()
            except PoolFailed as error:
                if self._away.get(name) != error.reason:
                    _log.warning("a pool is away", pool=name, error=error.reason)
                self._away[name] = error.reason
                self._report_soon.set()
                continue
            if self._away.pop(name, None) is not None:
                self._report_soon.set()
        strange = tuple(f"{name}: {one}" for name, found in self._contents.items() for one in found.strange)
        if strange != self._strange:
            _log.warning("things in pools that are none of ours stay as they are", found=list(strange)[:20])
            self._strange = strange

    async def _ask(self, work: Work) -> set[str] | None:
        """Read again what may have changed; the ids of those volumes, None for all."""
        asked = None if work.reread or not self.desired.known else self.desired.asked(work.scopes)
        if asked is not None and not asked:
            return asked
        names = None if asked is None else tuple(sorted(asked))
        state = await self.call(VOLUME_STATE, VolumeStateRequest(self.host, names))
        self.desired.take(state, asked)
        if asked is None:
            self.journal.keep(self.desired.named_operations())
            self._tell_present()
        served = frozenset(scopes.volume(volume_id) for _, volume_id in self.desired.volumes)
        if served != self._served:
            self._served = served
            self.scopes_changed()
        return asked

    def _tell_present(self) -> None:
        """Tell which volumes lie in the pools; nothing while one of them is away, as nobody knows."""
        if self._away:
            return
        stored = tuple(
            StoredVolume(volume_id, name)
            for name, contents in sorted(self._contents.items())
            for volume_id in sorted(contents.volumes)
        )
        self.news.present(stored, self.desired.position)

    async def _act(self, asked: Collection[str] | None, dirty: Collection[str], *, everything: bool) -> int:
        changes = await self._close_others() if asked is None else 0
        if everything:
            self.news.again(self.journal.ended, self.desired.operations)
        changes += self._snapshot_groups()
        known = {*self.desired.volumes, *self._held}
        for key in sorted(known):
            if _job(key) in self.jobs:
                continue
            if everything or key[1] in (asked or ()) or _job(key) in dirty:
                changes += self._plan(key, tell=everything)
        if everything and asked is None and _TIDY not in self.jobs:
            self.jobs.start([_TIDY], None, self._tidy())
        if _BACKUPS not in self.jobs and self._host_operations():
            self.jobs.start([_BACKUPS], None, self._do_host_operations())
            changes += 1
        return changes

    async def _close_others(self) -> int:
        """Close exports that nobody wants, of an agent before this one, too."""
        wanted = {one.export_id for volume in self.desired.volumes.values() for one in volume.exports}
        try:
            return await self._exports.close_others(wanted)
        except ExportFailed as error:
            _log.warning("exports that nobody wants can't be closed", error=str(error))
            return 0

    def _plan(self, key: Key, *, tell: bool) -> int:
        pool, volume_id = key
        wanted, held = self.desired.volumes.get(key), self._held.get(key, {})
        if tell and wanted is not None:
            self.news.again(self.journal.ended, (one.operation_id for one in wanted.operations))
        if pool not in self.pools:
            if wanted is not None:
                self._tell_lost(wanted)
            return 0
        if pool in self._away:
            return 0
        exists = volume_id in self._contents[pool].volumes
        todo = plan_volume(wanted, held, self.journal.ended, exists=exists)
        if not todo and not (tell and todo.look):
            self.jobs.lacks_nothing([_job(key)])
            return 0
        self.jobs.start([_job(key)], None, self._carry_out(key, wanted, todo))
        return bool(todo)

    def _tell_lost(self, wanted: VolumeDetails) -> None:
        """Answer for a volume of a pool that this node's settings no longer have."""
        why = f"The node {self.host} has no pool {wanted.pool}."
        for operation in wanted.operations:
            self._ended(operation, error=why)
        for export in wanted.exports:
            self.news.export(ExportReport(export.export_id, error=why))

    # -- one volume

    async def _carry_out(self, key: Key, wanted: VolumeDetails | None, todo: Todo) -> None:
        """All of a plan for one volume. What can't be done now is done later."""
        held = self._held.setdefault(key, {})
        for export_id in todo.close:
            await self._close(export_id)
            held.pop(export_id, None)
            self.news.closed([export_id])
        try:
            for operation in todo.operations:
                assert wanted is not None
                async with self._slots:
                    await self._once(key, wanted, operation)
        except TRANSIENT as error:
            self.jobs.later([_job(key)], told(error))
            return
        for export in (*todo.open, *todo.look):
            await self._open(key, export)
        if not held:
            self._held.pop(key, None)
        self.jobs.went_well(_job(key))

    async def _once(self, key: Key, wanted: VolumeDetails, operation: VolumeOperation) -> None:
        """Carry out one operation and note how it ended; raises one of TRANSIENT."""
        parts = self.pools[key[0]]
        try:
            result = await carry_out(Task(wanted, operation, parts, self._hands))
        except TRANSIENT:
            raise
        except BUSY as error:
            if self._tries_again(operation):
                raise TimeoutError(told(error)) from error
            self._ended(operation, error=told(error))
        except LASTING as error:
            self._ended(operation, error=told(error))
        except Exception as error:
            _log.error("an operation failed in a way that nobody expected", key=key, exc_info=error)
            self._ended(operation, error=told(error))
        else:
            self._ended(operation, result=result)
        await self._look_into([key[0]])

    def _tries_again(self, operation: VolumeOperation) -> bool:
        """Whether an operation on a volume that somebody has open is tried once more."""
        tries = self._busy[operation.operation_id] = self._busy.get(operation.operation_id, 0) + 1
        return tries <= _BUSY_TRIES

    async def _look_into(self, pools: Collection[str]) -> None:
        for name in self.pools.keys() & set(pools):
            with contextlib.suppress(PoolFailed):
                self._contents[name] = await self.pools[name].pool.contents()

    def _ended(
        self, operation: VolumeOperation, *, error: str | None = None, result: dict[str, Any] | None = None
    ) -> None:
        self._busy.pop(operation.operation_id, None)
        report = OperationReport(operation.operation_id, error, result or {})
        self.journal.note(report)
        self.news.operation(report)
        self._report_soon.set()  # how much room there is

    async def _open(self, key: Key, export: VolumeExport) -> None:
        pool, volume_id = key
        try:
            connection = await self._exports.open(self.pools[pool], volume_id, export)
        except (PoolFailed, Refused) as error:
            self._held.get(key, {}).pop(export.export_id, None)
            self.news.export(ExportReport(export.export_id, error=told(error)))
            return
        self._held.setdefault(key, {})[export.export_id] = export, connection
        self.news.export(ExportReport(export.export_id, connection))

    # -- groups

    def _snapshot_groups(self) -> int:
        """Begin the snapshots of groups none of whose volumes is worked on; how many."""
        begun = 0
        for operation in self._host_operations(of_groups=True):
            keys = [_job((one.pool, one.volume_id)) for one in operation.members] or [operation.operation_id]
            if not any(key in self.jobs for key in keys):
                self.jobs.start(keys, None, self._snapshot_group(operation, keys))
                begun += 1
        return begun

    async def _snapshot_group(self, operation: VolumeOperation, keys: Sequence[str]) -> None:
        try:
            await snapshot_group(operation, self.pools)
        except (*TRANSIENT, *BUSY, *LASTING) as error:
            if isinstance(error, TRANSIENT) or (isinstance(error, BUSY) and self._tries_again(operation)):
                self.jobs.later(keys, told(error))
                return
            self._ended(operation, error=told(error))
        else:
            self._ended(operation)
        await self._look_into({one.pool for one in operation.members})

    # -- backups

    def _host_operations(self, *, of_groups: bool = False) -> list[VolumeOperation]:
        pending = self.desired.operations.items()
        return [
            one
            for key, one in pending
            if key not in self.journal.ended and (one.kind == SNAPSHOT_GROUP) == of_groups
        ]

    async def _do_host_operations(self) -> None:
        for operation in self._host_operations():
            try:
                result = await on_backup(operation, self._backups)
            except LASTING as error:
                self._ended(operation, error=told(error))
            else:
                self._ended(operation, result=result)


def _job(key: Key) -> str:
    return "/".join(key)
