"""A few threads that take units from one queue: lighter by half than concurrent.futures."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence

from pileus.store.engine.unit import Answer, Unit, deliver


class Workers:
    """``size`` threads; ``answer(unit)`` runs in one of them, ``give(answers)`` in the event loop.

    ``leave()`` runs in each thread when it ends. An abandoned unit that was not begun is skipped.
    """

    def __init__(
        self,
        name: str,
        size: int,
        loop: asyncio.AbstractEventLoop,
        answer: Callable[[Unit], Answer],
        give: Callable[[Sequence[Answer]], None],
        leave: Callable[[], None],
    ) -> None:
        self._queue: queue.SimpleQueue[Unit | None] = queue.SimpleQueue()
        self._loop = loop
        self._answer = answer
        self._give = give
        self._leave = leave
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True) for number in range(size)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, unit: Unit) -> None:
        self._queue.put(unit)

    def _run(self) -> None:
        while (unit := self._queue.get()) is not None:
            if unit.is_abandoned:
                continue
            deliver(self._loop, self._give, [self._answer(unit)])
        self._leave()

    def close(self) -> None:
        """Finish what is queued, then end the threads. Blocks."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()
