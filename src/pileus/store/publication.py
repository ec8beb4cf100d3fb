"""Publication: subscribers are told of every committed event, in order, also after a crash.

One task per process. On SQLite the engine hands over events that have positions already, and they are told
at once; the task only reads what was left untold by a crash (or written by another process). On the other
databases the task gives positions after local commits, and looks now and then (``poll_s``) for what other
servers have committed or left behind. Whoever hears of a newer position from elsewhere says so with
:meth:`Publisher.announce`.

Subscribers are called in the event loop with one :class:`Published` at a time and must not block. They may
be told twice of an event after a crash, never out of order and never not at all.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from pileus.core import log
from pileus.core.clock import Clock
from pileus.core.ids import new_id
from pileus.store.event import Event, Published
from pileus.store.events import events_position, events_published, events_since, relay_state
from pileus.store.leases import lease_take
from pileus.store.trimming import own_trims

Subscriber: TypeAlias = Callable[[Published], None]
Run: TypeAlias = Callable[..., Awaitable[Any]]

BATCH = 200
GATHER_S = 0.003  # commits that follow close on one another share a transaction of the relay
TRIM_PERIOD_S = 3600.0
LEASE = "store:trim"
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 30.0

_log = log.get("store")


class Publisher:
    """The subscribers of one process and how far they have been told.

    ``read`` and ``write`` run units of work; ``positions_in_commit``: commits give positions (SQLite).
    """

    def __init__(
        self,
        read: Run,
        write: Run,
        *,
        positions_in_commit: bool,
        poll_s: float,
        clock: Clock,
        keep: dt.timedelta,
    ) -> None:
        self._read = read
        self._write = write
        self._positions_in_commit = positions_in_commit
        self._poll_s = poll_s
        self._clock = clock
        self.trims = own_trims(keep)
        self._owner = f"store:{new_id()}"
        self._trim_period_s = max(1.0, min(TRIM_PERIOD_S, keep.total_seconds() / 4))
        self._subscribers: list[Subscriber] = []
        self._wake = asyncio.Event()
        self._uncounted = False
        self._task: asyncio.Task[None] | None = None
        self._marked = 0
        self.newest = 0
        self.told = 0

    async def start(self) -> None:
        """Learn where things stand, and begin."""
        self.newest, self.told, self._uncounted = await self._read(relay_state)
        self._marked = self.told
        self._task = asyncio.create_task(self._run(), name="store-publisher")

    async def stop(self) -> None:
        """End the task, and remember how far subscribers have been told."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        if self.told > self._marked:
            await self._write(events_published, self.told)

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Have ``subscriber`` called from now on; returns what ends that.

        What a crash left untold is told to those who subscribe before the loop turns again.
        """
        self._subscribers.append(subscriber)
        self._wake.set()

        def unsubscribe() -> None:
            if subscriber in self._subscribers:
                self._subscribers.remove(subscriber)

        return unsubscribe

    def committed(self, events: Sequence[Event]) -> None:
        """Events with positions, just committed by this process (SQLite)."""
        self.newest = max(self.newest, events[-1].position)
        if not self._subscribers:
            return
        if events[0].position == self.told + 1:
            self._tell(events)
        else:
            self._wake.set()

    def wake(self) -> None:
        """This process committed events that have no positions yet."""
        self._uncounted = True
        self._wake.set()

    def announce(self, position: int) -> None:
        """Another server says that positions up to here exist."""
        if position > self.newest:
            self.newest = position
            self._wake.set()

    async def _run(self) -> None:
        pause = FIRST_PAUSE_S
        trim_at = self._clock.monotonic() + self._trim_period_s
        look = False
        while True:
            try:
                if look:
                    await self._look()
                await self._round()
                if (now := self._clock.monotonic()) >= trim_at:
                    await self._trim()
                    trim_at = now + self._trim_period_s
                pause = FIRST_PAUSE_S
            except Exception as error:
                _log.warning("events could not be relayed", error=str(error), again_in_s=pause)
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE_S, pause * 2)
                continue
            look = False
            try:
                # Not wait_for: before Python 3.12 it loses a cancellation that comes with the wake-up.
                async with asyncio.timeout(
                    self._trim_period_s if self._positions_in_commit else self._poll_s
                ):
                    await self._wake.wait()
            except TimeoutError:
                look = not self._positions_in_commit
            if not (look or self._positions_in_commit):
                await asyncio.sleep(GATHER_S)
            self._wake.clear()

    async def _look(self) -> None:
        """See what other servers have done, or left behind."""
        newest, _, uncounted = await self._read(relay_state)
        self.newest = max(self.newest, newest)
        self._uncounted = self._uncounted or uncounted

    async def _round(self) -> None:
        while self._uncounted:
            self._uncounted = False
            try:
                events = await self._write(events_position, self.told, BATCH)
            except BaseException:
                self._uncounted = True
                raise
            if not events:
                self.newest = max(self.newest, (await self._read(relay_state))[0])
                break
            self._marked = self.told
            self._uncounted = len(events) == BATCH
            self.newest = max(self.newest, events[-1].position)
            if self._subscribers and events[0].position == self.told + 1:
                self._tell(events)
        while self._subscribers and self.told < self.newest:
            newest = self.newest
            after = self.told
            events = await self._read(events_since, after, BATCH)
            if self.told != after:
                continue
            if events:
                self._tell(events)
            else:
                self._tell((), newest)

    async def _trim(self) -> None:
        """Let what is old go, if no other server does so now."""
        now = self._clock.now()
        if not await self._write(lease_take, LEASE, self._owner, self._trim_period_s / 2, now):
            return
        for trim in [*self.trims]:
            while await self._write(trim, now):
                pass

    def _tell(self, events: Sequence[Event], position: int = 0) -> None:
        published = Published(
            position=events[-1].position if events else position,
            scopes=frozenset(scope for event in events for scope in event.scopes),
            events=tuple(events),
        )
        for subscriber in tuple(self._subscribers):
            try:
                subscriber(published)
            except Exception as error:
                _log.error("a subscriber failed", error=repr(error), subscriber=repr(subscriber))
        self.told = published.position
