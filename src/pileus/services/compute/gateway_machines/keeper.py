"""The loop that makes gateway machines and keeps them, in each server process.

Like the conductor it holds nothing that matters: it looks when routers or the machines' servers change, and
now and then, and does what is to be done in one unit of work. Several of them take turns by a lock.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

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
from pileus.store import Published, Store

PERIOD_S = 5.0
ROUNDS = 5
"""Of work in a row, at most: what is done for one machine may make the next thing due."""
WAKING = frozenset({"router.create", "router.update", "router.delete", "router.active", "router.failed"})

_log = log.get("compute.gateway_machines")


class GatewayKeeper:
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
        self._store = store
        self._parts = parts
        self._clock = clock
        self._own_project = own_project
        self._period_s = period_s
        self._servers: frozenset[str] = frozenset()
        self._routers: frozenset[str] = frozenset()
        self._risen = False
        self._woken = asyncio.Event()
        self._unsubscribe: Callable[[], None] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, with a look."""
        self._unsubscribe = self._store.subscribe(self._published)
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop; whoever comes next goes on."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _published(self, published: Published) -> None:
        for one in published.events:
            if one.kind in WAKING or one.resource_id in self._servers:
                self._woken.set()
            elif one.kind == "port.active" and one.payload.get("device_id") in self._routers:
                self._risen = True
                self._woken.set()

    async def _run(self) -> None:
        while True:
            try:
                await self.work()
            except Exception:
                # The database may be away; the next look finds everything again.
                _log.exception("a look at the gateway machines failed")
                await asyncio.sleep(1.0)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._period_s):
                    await self._woken.wait()
            self._woken.clear()

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
