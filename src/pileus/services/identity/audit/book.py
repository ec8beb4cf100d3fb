"""The book of the audit log: log-ins are noted in memory and written together, so that none waits for it.

Changes are events; they are taken into the log as soon as this process hears of one. What one server does
not write another does, except log-ins that were noted in the last moment before a process was killed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence

from pileus.core import log
from pileus.services.identity.audit.work import BATCH, Login, audit_collect, audit_logins
from pileus.services.identity.common.generation import SCOPE
from pileus.services.identity.rules.cadf import Record, wanted
from pileus.store import Published, Store

HELD = 10_000
"""So many log-ins are noted at most until they are written; the oldest go."""
RETRY_S = 1.0

Told = Callable[[Record], None]

logger = log.get("identity")


class AuditBook:
    """Writes the audit log; ``told`` is called with each record that was written here, unless its type is
    among ``opt_out``."""

    def __init__(self, store: Store, told: Told | None = None, opt_out: Collection[str] = ()) -> None:
        self._store = store
        self._told = told
        self._opt_out = frozenset(opt_out)
        self._noted: deque[Login] = deque(maxlen=HELD)
        self._wake = asyncio.Event()
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._collect = True

    def start(self) -> None:
        """Begin to write, first what has happened while no server ran."""
        self._store.subscribe(self._published)
        self._wake.set()
        self._task = asyncio.create_task(self._run())

    def note(self, login: Login) -> None:
        """Note a log-in."""
        self._noted.append(login)
        self._wake.set()

    async def flush(self) -> None:
        """Write everything that is known now."""
        async with self._writing:
            await self._write_logins()
            await self._collect_changes()

    async def _write_logins(self) -> None:
        while self._noted:
            batch = [self._noted.popleft() for _ in range(min(len(self._noted), BATCH))]
            try:
                records = await self._store.write(audit_logins, batch)
            except BaseException:
                self._noted.extendleft(reversed(batch))
                raise
            self._tell(records)

    async def _collect_changes(self) -> None:
        while self._collect:
            self._collect = False
            try:
                records, more = await self._store.write(audit_collect)
            except BaseException:
                self._collect = True
                raise
            self._collect = self._collect or more
            self._tell(records)

    async def close(self) -> None:
        """Write what is noted, and end."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        try:
            await self.flush()
        except Exception as error:
            logger.warning("the audit log could not be finished", error=str(error))

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self.flush()
            except Exception as error:
                logger.warning("the audit log could not be written", error=str(error))
                await asyncio.sleep(RETRY_S)
                self._wake.set()

    def _published(self, published: Published) -> None:
        if SCOPE in published.scopes or not published.events:
            self._collect = True
            self._wake.set()

    def _tell(self, records: Sequence[Record]) -> None:
        for record in records:
            if self._told is not None and wanted(record, self._opt_out):
                self._told(record)
