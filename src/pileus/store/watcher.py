"""The base of the loops beside requests: they look when events say so, and on a slow timer.

Such a loop holds nothing that matters. Whoever looks next, here or in another server process, finds again
what a look that failed or was interrupted has left.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Any

from pileus.store.event import Event, Published
from pileus.store.store import Store

_PAUSE_S = 1.0
"""After a look that failed: the database may be away."""


class Watcher(abc.ABC):
    """Looks until it is closed; ``name`` says at what, in the words of the log that is handed in.
    ``gather_s``: how long it waits for what comes together with what has woken it."""

    def __init__(self, store: Store, log: Any, name: str, *, period_s: float, gather_s: float = 0.0) -> None:
        self._store = store
        self._log = log
        self._name = name
        self._period_s = period_s
        self._gather_s = gather_s
        self._woken = asyncio.Event()
        self._unsubscribe: Callable[[], None] | None = None
        self._task: asyncio.Task[None] | None = None

    @abc.abstractmethod
    def wakes(self, events: Iterable[Event]) -> bool:
        """Note what is to be looked at because of these events; whether to look now."""

    @abc.abstractmethod
    async def look(self, *, everything: bool) -> bool:
        """Look once, at ``everything`` or at what was noted; whether to look again at once."""

    def start(self) -> None:
        """Begin, with a look at everything."""
        self._unsubscribe = self._store.subscribe(self._published)
        self._task = asyncio.create_task(self._run(), name=self._name)

    async def close(self) -> None:
        """Stop; what is under way is left for whoever comes next."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _published(self, published: Published) -> None:
        if self.wakes(published.events):
            self._woken.set()

    async def _run(self) -> None:
        everything = True
        while True:
            try:
                more = await self.look(everything=everything)
            except Exception:
                self._log.exception(f"a look at {self._name} failed")
                await asyncio.sleep(_PAUSE_S)
                more = False
            everything = False
            if more:
                continue
            try:
                async with asyncio.timeout(self._period_s):
                    await self._woken.wait()
            except TimeoutError:
                everything = True
            await asyncio.sleep(self._gather_s)
            self._woken.clear()
