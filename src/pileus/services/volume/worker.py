"""The loop beside requests: ends operations that no node has reported in time, and says that the
scheduler lives.

It holds nothing that matters: an operation's row says until when it is waited for.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select

from pileus.core import log
from pileus.core.clock import Clock
from pileus.core.context import Context, system_context
from pileus.services.volume.agents.kinds import ON_NODE
from pileus.services.volume.agents.report import operations_finish
from pileus.services.volume.config import VolumeConfig
from pileus.services.volume.operations import NODE, Ended
from pileus.services.volume.pools.reading import SCHEDULER_BINARY
from pileus.services.volume.pools.work import services_seen
from pileus.store import Event, Store
from pileus.store.operations import WAITING, Operation, operations
from pileus.store.tx import Tx
from pileus.store.watcher import Watcher

PERIOD_S = 5.0
SEEN_EVERY_S = 20.0
_MANY = 100

_log = log.get("volume.worker")


def overdue(tx: Tx, context: Context, config: VolumeConfig) -> int:
    """End the operations whose time is over; how many there were."""
    c = operations.c
    rows = tx.rows(
        select(operations)
        .where(c.kind.in_(sorted(ON_NODE)), c.state == WAITING, c.step == NODE, c.deadline <= context.now)
        .order_by(c.created_at, c.id)
        .limit(_MANY)
        .with_for_update()
    )
    late = [
        Ended(Operation(**row._mapping), "It took too long: its pool has not answered.", {}) for row in rows
    ]
    operations_finish(tx, context, late, config)
    return len(late)


class VolumeWorker(Watcher):
    """``host`` is where this process runs."""

    def __init__(self, store: Store, config: VolumeConfig, clock: Clock, *, host: str) -> None:
        super().__init__(store, _log, "volumes", period_s=PERIOD_S)
        self._config, self._clock, self._host = config, clock, host
        self._seen_at = float("-inf")

    def wakes(self, events: Iterable[Event]) -> bool:
        return False

    async def look(self, *, everything: bool) -> bool:
        now = self._clock.monotonic()
        context = system_context(self._clock.now())
        if now - self._seen_at >= SEEN_EVERY_S:
            await self._store.write(services_seen, context, [self._host], SCHEDULER_BINARY)
            self._seen_at = now
        return await self._store.write(overdue, context, self._config) == _MANY
