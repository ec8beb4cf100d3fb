"""The loop that makes gateway machines and keeps them, in each server process.

Like the conductor it holds nothing that matters: it looks when routers or the machines' servers change, and
now and then, and does what is to be done in one unit of work. Several of them take turns by a lock.
"""

from __future__ import annotations

from collections.abc import Iterable

from pileus.core import log
from pileus.core.clock import Clock
from pileus.core.context import system_context
from pileus.services.compute.gateway_machines.work import (
    OwnProject,
    machines_complete,
    machines_look,
    machines_work,
)
from pileus.services.compute.servers.chains.common import Parts
from pileus.store import Event, Store
from pileus.store.watcher import Watcher

PERIOD_S = 5.0
ROUNDS = 5
"""Of work in a row, at most: what is done for one machine may make the next thing due."""
WAKING = frozenset({"router.create", "router.update", "router.delete", "router.active", "router.failed"})

_log = log.get("compute.gateway_machines")


class GatewayKeeper(Watcher):
    """``own_project`` gives the project that has the machines."""

    def __init__(
        self,
        store: Store,
        parts: Parts,
        clock: Clock,
        own_project: OwnProject,
        *,
        period_s: float = PERIOD_S,
    ) -> None:
        super().__init__(store, _log, "gateway machines", period_s=period_s)
        self._parts = parts
        self._clock = clock
        self._own_project = own_project
        self._servers: frozenset[str] = frozenset()
        self._routers: frozenset[str] = frozenset()
        self._risen = False

    def wakes(self, events: Iterable[Event]) -> bool:
        woken = False
        for one in events:
            if one.kind in WAKING or one.resource_id in self._servers:
                woken = True
            elif one.kind == "port.active" and one.payload.get("device_id") in self._routers:
                self._risen = woken = True
        return woken

    async def look(self, *, everything: bool) -> bool:
        await self.work()
        return False

    async def work(self) -> None:
        """Look, and do what is to be done until nothing more is due at once."""
        risen, self._risen = self._risen, False
        before = None
        for _ in range(ROUNDS):
            now = self._clock.now()
            looked = await self._store.read(machines_look, now, self._parts)
            self._servers, self._routers = frozenset(looked.servers), frozenset(looked.routers)
            if risen and self._servers:
                await self._store.write(machines_complete, system_context(now), sorted(self._servers))
                risen = False
            if not looked.due or looked == before:  # what could not be helped is not helped by haste
                return
            before = looked
            await self._store.write(machines_work, system_context(now), self._parts, self._own_project)
