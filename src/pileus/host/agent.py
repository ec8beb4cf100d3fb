"""The base of all agents: reports, heartbeat, wake-ups and the loop that acts.

An agent is four tasks. The *heartbeat* reports state; its answer carries the newest position
of what the agent serves, so an agent that heard of nothing still finds out. The *stream*
brings wake-ups; whenever it was broken, everything is read again. The *loop* runs passes. And
the agent's own *watch* notices what changes on the node. None of them does the work of another: they
only wake the loop, and a wake-up too many costs a pass that plans nothing.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Iterable
from typing import Any, ClassVar, Protocol, TypeVar

import msgspec

from pileus.core import log
from pileus.core.clock import Clock
from pileus.core.errors import Fault
from pileus.core.memo import Memos
from pileus.core.recurring import Trouble
from pileus.flow.reconcile import Reconciler, Work
from pileus.wire import scopes
from pileus.wire.agents import AgentReply, AgentReport, Wakeup
from pileus.wire.calls import AGENT_REPORT, Call

Q = TypeVar("Q", bound=msgspec.Struct)
R = TypeVar("R", bound=msgspec.Struct)

_log = log.get("host.agent")

_STREAM_RETRY_S = 0.2
_STREAM_RETRY_LIMIT_S = 5.0
_LONGEST_ERROR = 500
_HEARTBEAT_RETRY_S = 2.0


class Server(Protocol):
    """The bus as an agent needs it; ``pileus.bus.client.WireClient`` is one."""

    async def call(self, call: Call[Q, R], request: Q) -> R: ...

    def wakeups(self, host: str, scopes: tuple[str, ...]) -> AsyncIterator[Wakeup]: ...


class Metrics(msgspec.Struct):
    """Counts of an agent's work so far, for tests and for its status."""

    passes: int = 0
    full_passes: int = 0
    changes: int = 0
    """Rows and flows that passes changed."""
    changes_of_last_pass: int = 0
    changes_of_last_full_pass: int = 0
    calls: int = 0
    rereads: int = 0


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``full_pass_interval_s``: the slow timer of passes that take nothing for granted."""

    host: str
    availability_zone: str | None = None
    full_pass_interval_s: float = 300.0


class Agent(abc.ABC):
    """The base. ``run`` lives until ``stop`` or cancellation; what is built on the node stays."""

    binary: ClassVar[str]
    agent_type: ClassVar[str]
    topic: ClassVar[str] = "N/A"
    memos: ClassVar[tuple[Memos, ...]] = ()
    """Remembered results that each full pass trims to what is in use."""
    rest: ClassVar[float] = 0.0
    """How many times as long as a pass took is waited before the next (``Reconciler``)."""

    def __init__(self, settings: AgentSettings, server: Server, clock: Clock) -> None:
        self.metrics = Metrics()
        self.admin_state_up = True
        self.agent_id: str | None = None
        self.reconciler = Reconciler(
            self.binary, self._pass, clock, period_s=settings.full_pass_interval_s, rest=self.rest
        )
        self._base = settings
        self._server = server
        self._started_at = clock.now().strftime("%Y-%m-%d %H:%M:%S")
        self._reported = False
        self._pass_clock = clock
        self._last_pass: tuple[str, float] | None = None
        self._newest = 0
        self._server_settings = ""
        self.report_trouble = Trouble(_log, "the report was not taken", agent=self.binary)
        self._stream_trouble = Trouble(_log, "the stream of wake-ups ended", agent=self.binary)
        self.in_sync = asyncio.Event()
        """Set by the first full pass."""
        self._stopping = asyncio.Event()
        self._scopes_changed = asyncio.Event()
        self._report_soon = asyncio.Event()

    @property
    def host(self) -> str:
        """This node's name."""
        return self._base.host

    @abc.abstractmethod
    async def reconcile(self, work: Work) -> int:
        """One pass; how many rows, flows or the like it changed."""

    @abc.abstractmethod
    async def watch(self) -> None:
        """Wake the loop for what changes on the node; runs until it is cancelled."""

    @abc.abstractmethod
    def configurations(self) -> dict[str, Any]:
        """The facts that the agent reports of itself."""

    @abc.abstractmethod
    def scopes(self) -> frozenset[str]:
        """The scopes that the agent serves besides its host's."""

    @abc.abstractmethod
    def position(self) -> int:
        """The position up to which everything that is desired has been read."""

    @abc.abstractmethod
    def unread(self, scopes: Iterable[str], position: int) -> set[str]:
        """Those of ``scopes`` that were last read before ``position``."""

    @abc.abstractmethod
    async def prepare(self) -> None:
        """Connect to the parts of the node; runs once, before the first pass."""

    @abc.abstractmethod
    async def release(self) -> None:
        """Let the parts of the node go."""

    def stop(self) -> None:
        """End ``run``. A pass that is interrupted is finished by the next start."""
        self._stopping.set()

    async def run(self) -> None:
        """Report, listen, watch and act until stopped."""
        await self.prepare()
        tasks = [
            asyncio.create_task(coroutine, name=f"{self.binary}-{name}")
            for name, coroutine in (
                ("heartbeat", self._heartbeat()),
                ("stream", self._listen()),
                ("watch", self.watch()),
                ("loop", self.reconciler.loop()),
            )
        ]
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # a task that ended by itself has failed
        finally:
            for task in (stopping, *tasks):
                task.cancel()
            await asyncio.gather(stopping, *tasks, return_exceptions=True)
            await self.release()

    async def call(self, call: Call[Q, R], request: Q) -> R:
        """Ask the server, and count it."""
        self.metrics.calls += 1
        return await self._server.call(call, request)

    def scopes_changed(self) -> None:
        """Listen to what ``scopes`` says now."""
        self._scopes_changed.set()

    async def _pass(self, work: Work) -> None:
        metrics = self.metrics
        began = self._pass_clock.monotonic()
        changes = await self.reconcile(work)
        ended = self._pass_clock.now().strftime("%Y-%m-%d %H:%M:%S")
        self._last_pass = ended, round(self._pass_clock.monotonic() - began, 4)
        metrics.passes += 1
        metrics.changes += changes
        metrics.changes_of_last_pass = changes
        metrics.rereads += work.reread
        if work.full:
            metrics.full_passes += 1
            metrics.changes_of_last_full_pass = changes
            for memos in self.memos:
                memos.trim()
            if not self.in_sync.is_set():
                self.in_sync.set()
                self._report_soon.set()

    def report(self) -> AgentReport:
        """The state as it is sent with each heartbeat."""
        status = self.reconciler.status
        return AgentReport(
            host=self.host,
            binary=self.binary,
            agent_type=self.agent_type,
            topic=self.topic,
            started_at=self._started_at,
            configurations={**self.configurations(), "reconciliation": self._reconciliation()},
            availability_zone=self._base.availability_zone,
            resources_synced=status.full_passes > 0 and status.failures_in_a_row == 0,
            start=not self._reported,
            scopes=tuple(sorted(self.scopes())),
        )

    def _reconciliation(self) -> dict[str, Any]:
        """How far the agent is: positions it had not read at its last report, its last pass, what fails."""
        status = self.reconciler.status
        ended, took = self._last_pass or (None, None)
        return {
            "behind": max(0, self._newest - self.position()),
            "passes": status.passes,
            "last_pass_at": ended,
            "last_pass_s": took,
            "error": (status.last_error or "")[:_LONGEST_ERROR] if status.failures_in_a_row else None,
        }

    async def _heartbeat(self) -> None:
        while True:
            self._report_soon.clear()
            pause = _HEARTBEAT_RETRY_S
            try:
                reply = await self.call(AGENT_REPORT, self.report())
            except Fault as fault:
                self.report_trouble.fault(fault)
            else:
                self.report_trouble.over()
                self._heard(reply)
                pause = reply.heartbeat_interval_s
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._report_soon.wait()

    def _heard(self, reply: AgentReply) -> None:
        self._reported = True
        self._newest = reply.position
        self.agent_id = reply.agent_id
        changed = reply.admin_state_up != self.admin_state_up
        changed |= self._server_settings not in ("", reply.settings)
        self._server_settings = reply.settings
        self.admin_state_up = reply.admin_state_up
        if changed or reply.position > self.position():
            self.reconciler.wake(reread=True)
        if self.reconciler.status.failures_in_a_row:
            self.reconciler.hurry()

    async def _listen(self) -> None:
        """Keep one stream open. When the scopes change, the next is open before this one is left."""
        pause = _STREAM_RETRY_S
        current: asyncio.Task[None] | None = None
        successor: asyncio.Task[None] | None = None
        known: frozenset[str] = frozenset()
        try:
            while True:
                self._scopes_changed.clear()
                wanted = self.scopes() | {scopes.host(self.host)}
                opened = asyncio.Event()
                added = None if current is None else wanted - known
                successor = asyncio.create_task(self._read(wanted, added, opened))
                await _until_one(successor, opened.wait())
                await _end(current)
                current, known = successor, wanted
                if opened.is_set():
                    pause = _STREAM_RETRY_S
                    await _until_one(current, self._scopes_changed.wait())
                if current.done():
                    await _end(current)
                    current = None
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, _STREAM_RETRY_LIMIT_S)
        finally:
            await _end(successor)
            await _end(current)

    async def _read(
        self, wanted: frozenset[str], added: frozenset[str] | None, opened: asyncio.Event
    ) -> None:
        """One stream to its end. ``added`` is None after a gap: then anything may have been missed."""
        try:
            async for wakeup in self._server.wakeups(self.host, tuple(sorted(wanted))):
                if opened.is_set():
                    self._woken(wakeup)
                    continue
                opened.set()
                self._stream_trouble.over()
                if added is None:
                    self.reconciler.hurry()
                    if wakeup.position > self.position():
                        self.reconciler.wake(reread=True)
                elif late := self.unread(added, wakeup.position):
                    self.reconciler.wake(late)
        except Fault as fault:
            self._stream_trouble.fault(fault)

    def _woken(self, wakeup: Wakeup) -> None:
        if wakeup.scopes:
            self.reconciler.wake(wakeup.scopes)


async def _until_one(task: asyncio.Task[None], other: Coroutine[Any, Any, Any]) -> None:
    """Until the task has ended, which is left as it is, or the other thing has happened."""
    happening = asyncio.create_task(other)
    try:
        await asyncio.wait([task, happening], return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _end(happening)


async def _end(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
