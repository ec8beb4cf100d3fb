"""Works on imports, in each server process: what a dead process had begun is taken up by the next."""

from __future__ import annotations

import asyncio
import contextlib

from pileus.core import log
from pileus.core.clock import Clock
from pileus.core.ids import new_id
from pileus.flow.chain_runner import ChainRunner
from pileus.services.image.imports.chain import IMPORT_CHAIN, Parts
from pileus.store import operations

_PERIOD_S = 10.0
_LEASE_S = 30.0
_AT_ONCE = 2

_log = log.get("image.imports")


class ImportWorker:
    """Brings imports to their end; ``wake`` says that one was begun."""

    def __init__(self, parts: Parts, clock: Clock) -> None:
        self._runner = ChainRunner(
            (IMPORT_CHAIN,),
            parts.store,
            operations,
            clock,
            parts=parts,
            owner=new_id(),
            lease_s=_LEASE_S,
            at_once=_AT_ONCE,
        )
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, with a look at what there is."""
        self._task = asyncio.create_task(self._run())

    def wake(self) -> None:
        """Look now."""
        self._woken.set()

    async def close(self) -> None:
        """Stop; what is under way is begun anew by whoever comes next."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            try:
                await self._runner.work()
            except Exception:
                # The database may be away; the next look finds everything again.
                _log.exception("a look at imports failed")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PERIOD_S):
                    await self._woken.wait()
