"""Jobs of servers: which are worked on, which are to be looked at, which wait for their next try.

A server has one job at a time; several may share one. When a job ends its servers are looked at again:
at once, or after a growing pause where it failed, or where jobs follow each other without end.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from pileus.core import log

_log = log.get("host.hypervisor")

_AGAIN_S, _AGAIN_LIMIT_S = 0.3, 15.0
_ROUNDS = 5
"""Jobs in a row after which a server that still lacks something has to wait."""


class Jobs:
    """``wake`` is called when there is somebody to look at."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.dirty: set[str] = set()
        """Servers to be looked at."""
        self._wake = wake
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._goals: dict[str, int | None] = {}
        self._tries: dict[str, int] = {}
        self._rounds: dict[str, int] = {}
        self._paused: set[str] = set()
        self._closed = False

    @property
    def busy(self) -> set[str]:
        """Servers with a job."""
        return set(self._tasks)

    @property
    def is_idle(self) -> bool:
        """Whether nobody is worked on, is to be looked at, or waits."""
        return not (self._tasks or self.dirty or self._paused)

    def __contains__(self, server_id: str) -> bool:
        return server_id in self._tasks

    def touch(self, server_id: str) -> None:
        """Look at a server again. One with a job is looked at when that has ended anyway."""
        if server_id not in self._tasks and not self._closed:
            self.dirty.add(server_id)
            self._wake()

    def start(self, server_ids: Iterable[str], goal: int | None, work: Coroutine[Any, Any, None]) -> None:
        """A job of these servers. ``goal`` is the generation that it works for, None for their end."""
        keys = tuple(server_ids)
        task = asyncio.create_task(work, name=f"job of {' '.join(keys)}")
        for key in keys:
            self._tasks[key] = task
            self._goals[key] = goal
            self._rounds[key] = self._rounds.get(key, 0) + 1
        task.add_done_callback(functools.partial(self._ended, keys))

    def end_moot(self, is_moot: Callable[[str, int], bool]) -> int:
        """End jobs whose goal is no longer one; how many."""
        ended = 0
        for key, task in self._tasks.items():
            goal = self._goals[key]
            if goal is not None and is_moot(key, goal):
                self._tries.pop(key, None)
                ended += task.cancel()
        return ended

    def later(self, server_ids: Iterable[str], why: object) -> None:
        """Look at these again after a pause, which grows with each time."""
        for key in server_ids:
            tries = self._tries[key] = self._tries.get(key, 0) + 1
            pause = min(_AGAIN_S * 2 ** (tries - 1), _AGAIN_LIMIT_S)
            _log.info("to be tried again", server=key, pause_s=pause, error=str(why))
            self._paused.add(key)
            asyncio.get_running_loop().call_later(pause, self._resume, key)

    def went_well(self, server_id: str) -> None:
        """The next pause of a server is a short one again."""
        self._tries.pop(server_id, None)

    def lacks_nothing(self, server_ids: Iterable[str]) -> None:
        """Nothing is left to do for these."""
        for key in server_ids:
            self._tries.pop(key, None)
            self._rounds.pop(key, None)

    async def close(self) -> None:
        """Cancel all jobs and wait for their ends."""
        self._closed = True
        tasks = set(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _resume(self, server_id: str) -> None:
        self._paused.discard(server_id)
        self.touch(server_id)

    def _ended(self, server_ids: Iterable[str], task: asyncio.Task[None]) -> None:
        for key in server_ids:
            del self._tasks[key], self._goals[key]
        if self._closed:
            return
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a job failed", job=task.get_name(), exc_info=error)
            self.later(server_ids, error)
        for key in server_ids:
            if key in self._paused:
                continue
            if self._rounds.get(key, 0) > _ROUNDS:
                self.later((key,), "one job after another, and it still lacks something")
            else:
                self.dirty.add(key)
        self._wake()
