"""The conductor: brings servers up, closes what has ended, in each server process.

It holds nothing that matters. Boots, deletions, rebuilds and reboots are operations that it brings from step
to step (``servers/chains/``); whether a server has become what it should be is decided from the database.
Killed at any moment, another (or the next) conductor finds the operation when its deadline is over and goes
on at the step where it stands.

It wakes when servers are asked for and when their ports rise, and looks at everything on a slow timer.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import delete, select

from pileus.core import log
from pileus.core.clock import Clock
from pileus.core.context import Context, system_context
from pileus.flow.chain_runner import ChainRunner
from pileus.resource.event import event
from pileus.services.compute.nodes.work import service_seen
from pileus.services.compute.rules import states
from pileus.services.compute.servers.chains import CHAINS
from pileus.services.compute.servers.chains.boot_volumes import volume_boots_go_on
from pileus.services.compute.servers.chains.common import Parts
from pileus.services.compute.servers.chains.live_migration import live_abandoned
from pileus.services.compute.servers.chains.volumes import connections_came, volumes_grew
from pileus.services.compute.servers.completion import boots_complete, overdue
from pileus.services.compute.servers.resting import rests_over
from pileus.services.compute.tables.servers import server_interfaces, servers
from pileus.services.compute.uses.volume import CONNECTED, MADE, RESIZED
from pileus.store import Event, Store, operations
from pileus.store.column_in import column_in
from pileus.store.tx import Tx
from pileus.store.watcher import Watcher
from pileus.wire import scopes

PERIOD_S = 5.0
SEEN_EVERY_S = 20.0
WAKING = frozenset({"server.create", "operation.ready"})
"""Events after which an operation can be gone on with."""

BINARIES = ("nova-conductor", "nova-scheduler")

_log = log.get("compute.conductor")


def spawning(tx: Tx) -> list[str]:
    """Servers that wait for their ports or for their host's word."""
    c = servers.c
    rows = tx.rows(select(c.id).where(c.task_state == states.SPAWNING, c.in_place))
    return [row.id for row in rows]


def ports_vanished(tx: Tx, context: Context, port_ids: list[str]) -> None:
    """Ports of servers were deleted in the network API: the servers have them no longer."""
    c = server_interfaces.c
    rows = tx.rows(
        select(c.port_id, servers.c.id, servers.c.project_id, servers.c.host).where(
            column_in(tx, c.port_id, port_ids), servers.c.id == c.server_id, servers.c.deleted_at.is_(None)
        )
    )
    if not rows:
        return
    tx.execute(delete(server_interfaces).where(column_in(tx, c.port_id, [row.port_id for row in rows])))
    tx.emit_many(
        [
            event(
                context,
                "server.update",
                row.id,
                row.project_id,
                [scopes.hypervisor(row.host), scopes.server(row.id)] if row.host else [],
                host=row.host,
                detached=row.port_id,
            )
            for row in rows
        ]
    )


class Conductor(Watcher):
    """``owner`` names this process in operations; ``host`` is where it runs."""

    def __init__(
        self,
        store: Store,
        parts: Parts,
        clock: Clock,
        *,
        owner: str,
        host: str,
        period_s: float = PERIOD_S,
    ) -> None:
        super().__init__(store, _log, "servers", period_s=period_s)
        self._parts = parts
        self._clock = clock
        self._host = host
        self._runner = ChainRunner(
            CHAINS,
            store,
            operations,
            clock,
            parts=self._parts,
            owner=owner,
            lease_s=parts.config.step_deadline_s,
        )
        self._seen_at = float("-inf")
        self._risen: set[str] = set()
        self._vanished: set[str] = set()
        self._connected: set[str] = set()
        self._grown: set[str] = set()
        self._made = False

    def wakes(self, events: Iterable[Event]) -> bool:
        woken = False
        for one in events:
            device = one.payload.get("device_id")
            if one.kind in WAKING:
                woken = True
            elif one.kind == "port.active" and device:
                self._risen.add(device)
                woken = True
            elif one.kind == CONNECTED:
                self._connected.add(one.resource_id)
                woken = True
            elif one.kind == MADE:
                self._made = woken = True
            elif one.kind == RESIZED:
                self._grown.add(one.resource_id)
                woken = True
            elif one.kind == "port.delete":
                self._vanished.add(one.resource_id)
                woken = True
        return woken

    async def look(self, *, everything: bool) -> bool:
        now = self._clock.monotonic()
        if now - self._seen_at >= SEEN_EVERY_S:
            await self._store.write(self._seen)
            self._seen_at = now
        await self.work(everything=everything)
        return False

    def _seen(self, tx: Tx) -> None:
        for binary in BINARIES:
            service_seen(tx, self._context(), self._host, binary)

    def _context(self) -> Context:
        return system_context(self._clock.now())

    async def work(self, *, everything: bool = True) -> None:
        """One look: operations, risen and vanished ports; and ``everything`` that may be overdue."""
        risen, self._risen = self._risen, set()
        vanished, self._vanished = self._vanished, set()
        if vanished:
            await self._store.write(ports_vanished, self._context(), sorted(vanished))
        connected, self._connected = self._connected, set()
        if connected:
            await self._store.write(connections_came, self._context(), connected, self._parts)
        made, self._made = self._made, False
        if made or connected:
            await self._store.write(volume_boots_go_on, self._context(), self._parts)
        grown, self._grown = self._grown, set()
        if grown:
            await self._store.write(volumes_grew, self._context(), grown)
        if everything:
            risen.update(await self._store.read(spawning))
        if risen:
            await self._store.write(boots_complete, self._context(), sorted(risen))
        if everything:
            await self._store.write(live_abandoned, self._context(), parts=self._parts)
        await self._runner.work(everything=everything)
        if everything:
            await self._store.write(overdue, self._context(), parts=self._parts)
            await self._store.write(rests_over, self._context(), parts=self._parts)
