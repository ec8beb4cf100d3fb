"""The worker that brings names to the server outside: in one server process of the cloud at a time.

Nothing waits for it, and it remembers nothing: each round compares what should be outside with what the
database says was brought there. It looks when something has changed that has a name, and on a slow timer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from pileus.core import log
from pileus.core.clock import Clock
from pileus.core.context import system_context
from pileus.core.dns import DnsPublisher, DnsUnreachable
from pileus.services.network.config import NetworkConfig
from pileus.services.network.external_dns.work import records_compare, records_settle, records_wait
from pileus.store import Event, Store
from pileus.store.leases import lease_release, lease_take
from pileus.store.watcher import Watcher

PERIOD_S = 30.0
GATHER_S = 0.5
LEASE = "network:external_dns"
LEASE_S = 90.0
WAKING = ("port.", "network.", "subnet.", "floatingip.", "segment.")
OWN = (".dns_published", ".dns_failed")

_log = log.get("network.external_dns")


class DnsWorker(Watcher):
    """``owner`` names this process in the lease."""

    def __init__(
        self,
        store: Store,
        config: NetworkConfig,
        publisher: DnsPublisher,
        clock: Clock,
        *,
        owner: str,
        retry_s: float,
        period_s: float = PERIOD_S,
    ) -> None:
        # A server's ports come together: they go in one message.
        super().__init__(
            store, _log, "names to be published", period_s=min(period_s, retry_s), gather_s=GATHER_S
        )
        self._config = config
        self._publisher = publisher
        self._clock = clock
        self._owner = owner
        self._retry_s = retry_s
        self._is_lost = False

    async def close(self) -> None:
        """Stop, and let another server do it."""
        started = self._task is not None
        await super().close()
        if started:
            with contextlib.suppress(Exception):  # the database may be away: the lease runs out by itself
                await self._store.write(lease_release, LEASE, self._owner)

    def wakes(self, events: Iterable[Event]) -> bool:
        return any(one.kind.startswith(WAKING) and not one.kind.endswith(OWN) for one in events)

    async def look(self, *, everything: bool) -> bool:
        return await self.work()

    async def work(self) -> bool:
        """One round; returns whether it did something and there may be more."""
        context = system_context(self._clock.now())
        if not await self._store.write(lease_take, LEASE, self._owner, LEASE_S, context.now):
            return False
        due = await self._store.write(records_compare, context, self._config, self._retry_s)
        if not due.add and not due.remove:
            return False
        try:
            refused = await self._publisher.change(due.added, due.removed)
        except DnsUnreachable as lost:
            await self._store.write(records_wait, system_context(self._clock.now()), due, str(lost))
            if not self._is_lost:
                _log.warning("names can't be published", reason=str(lost))
            self._is_lost = True
            return False
        if self._is_lost:
            _log.info("names are published again")
        self._is_lost = False
        await self._store.write(records_settle, system_context(self._clock.now()), due, refused)
        return len(refused) < len(due.add) + len(due.remove)
