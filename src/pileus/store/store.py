"""Store: runs units of work against the database and publishes their events."""

from __future__ import annotations

import asyncio
import datetime as dt
import sys
from collections.abc import Callable, Hashable, Sequence
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy.engine import make_url

from pileus.core.clock import Clock, SystemClock
from pileus.store import migrations
from pileus.store.deadline import STATEMENT_TIMEOUT_S
from pileus.store.engine.pooled import PooledEngine
from pileus.store.engine.sqlite import SqliteEngine
from pileus.store.engine.unit import Unit
from pileus.store.joining import Joining
from pileus.store.publication import Publisher, Subscriber
from pileus.store.trimming import Trim
from pileus.store.tx import Tx

# CPython lets a busy thread keep the interpreter for 5 ms before another may have it. Writers, readers and
# the event loop share it, and each hop of a request would wait that long beside a busy thread. This is the
# one place where it is set, for the whole process.
SWITCH_INTERVAL_S = 0.0005

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item")


class Store:
    """One database. Opened, used and closed in one event loop."""

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        poll_s: float,
        keep_events: dt.timedelta,
        statement_timeout_s: float,
        unified_limits: str | None = None,
    ) -> None:
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._loop = asyncio.get_running_loop()
        self._engine: SqliteEngine | PooledEngine
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            self._engine = SqliteEngine(
                parsed.database or "",
                self._loop,
                lambda events: self._publisher.committed(events),
                lambda: self._publisher.told,
                statement_timeout_s=statement_timeout_s,
            )
        else:
            self._engine = PooledEngine(
                url,
                self._loop,
                lambda: self._publisher.wake(),
                statement_timeout_s=statement_timeout_s,
            )
        self._engine.unified_limits = unified_limits
        self._joining = Joining(self.write)
        self._publisher = Publisher(
            self.read,
            self.write,
            positions_in_commit=self._engine.positions_in_commit,
            poll_s=poll_s,
            clock=clock,
            keep=keep_events,
        )
        self.dialect = self._engine.dialect

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        clock: Clock | None = None,
        migrate: bool = True,
        poll_s: float = 1.0,
        keep_events: dt.timedelta = dt.timedelta(days=14),
        statement_timeout_s: float = STATEMENT_TIMEOUT_S,
        unified_limits: str | None = None,
    ) -> Store:
        """Open ``sqlite:///path``, ``postgresql://…`` or ``mariadb://…``; bring its tables up to date first.

        ``poll_s`` is how often to look for events of other servers; what is older than ``keep_events`` is
        trimmed once an hour. ``statement_timeout_s`` ends a statement (StatementTimeout); migrations have
        all the time that they need. ``unified_limits`` is the region of whose limits quotas are, or None.
        """
        if migrate:
            await asyncio.to_thread(migrations.prepare, url)
        store = cls(
            url,
            clock=clock or SystemClock(),
            poll_s=poll_s,
            keep_events=keep_events,
            statement_timeout_s=statement_timeout_s,
            unified_limits=unified_limits,
        )
        await store._publisher.start()
        return store

    async def write(self, work: Callable[Concatenate[Tx, P], T], *args: P.args, **keywords: P.kwargs) -> T:
        """Run one unit of work and commit it; its result comes back when it is safe on the disk.

        A caller that is cancelled while the unit waits takes it back; later it is committed all the same.
        On SQLite subscribers have been told of its events when this returns, unless they still have to be
        told of older ones (they have just subscribed).
        """
        unit = Unit(self._loop, work, args, keywords)
        self._engine.write(unit)
        result: T = await unit.future
        return result

    async def write_joined(
        self, key: Hashable, work: Callable[[Tx, Sequence[Item]], Sequence[T]], item: Item
    ) -> T:
        """Run a unit of work that takes several items with this one, and with those of other callers that
        wait under the same key (``store.joining``). Returns this item's result when it is safe on the disk.

        The statements of such a unit count for the first of its callers.
        """
        result: T = await self._joining.write(key, work, item)
        return result

    async def read(self, work: Callable[Concatenate[Tx, P], T], *args: P.args, **keywords: P.kwargs) -> T:
        """Run a unit that only reads (the database refuses anything else), beside the writers."""
        unit = Unit(self._loop, work, args, keywords)
        self._engine.read(unit)
        result: T = await unit.future
        return result

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Have ``subscriber(published)`` called in the event loop after commits; returns what ends that."""
        return self._publisher.subscribe(subscriber)

    def trim_also(self, trim: Trim) -> None:
        """Have a unit ``(tx, now)`` run, until it returns 0, whenever old things go."""
        self._publisher.trims.append(trim)

    def announce(self, position: int) -> None:
        """Another server says (over the bus) that positions up to here exist."""
        self._publisher.announce(position)

    def position(self) -> int:
        """The newest position that this process knows of."""
        return self._publisher.newest

    @property
    def is_told(self) -> bool:
        """Whether subscribers have been told of everything that this process knows of."""
        return self._publisher.told >= self._publisher.newest

    @property
    def statements(self) -> int:
        """SQL statements sent so far, for tests that count them."""
        return self._engine.statements

    async def close(self) -> None:
        """Finish what is queued and let go of the database."""
        await self._publisher.stop()
        await asyncio.to_thread(self._engine.close)
