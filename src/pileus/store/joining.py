"""Units of one kind that are asked for while one of them runs, run together when it has ended.

A unit of work that takes several items costs little more than one that takes one. So where many callers ask
for the same thing at once, those who come while the first is served wait for its end and go as one unit:
nobody waits for others to come, and whoever asks alone is served at once.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any, Protocol

from pileus.store.errors import CommitUnknown, DatabaseUnavailable
from pileus.store.tx import Tx

MOST_ITEMS = 32
"""Items of one unit, so that nobody's commit waits long for the work of others."""

Work = Callable[[Tx, Sequence[Any]], Sequence[Any]]
"""``(tx, items) -> results``, in the same order. An item that is refused raises, and refuses all."""


class Write(Protocol):
    """Runs one unit to its commit; ``Store.write`` does."""

    def __call__(self, work: Work, items: Sequence[Any], /) -> Awaitable[Sequence[Any]]: ...


class _Waiting:
    """An item whose turn has not come, and the context variables of who asked."""

    __slots__ = ("context", "item", "result")

    def __init__(self, item: Any, result: asyncio.Future[Any]) -> None:
        self.item = item
        self.result = result
        self.context = contextvars.copy_context()

    def give(self, result: Any) -> None:
        if not self.result.done():
            self.result.set_result(result)

    def refuse(self, error: BaseException) -> None:
        if not self.result.done():
            self.result.set_exception(error)


class Joining:
    """The units that wait, by what they have in common. Used in one event loop."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._waiting: dict[Hashable, deque[_Waiting]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def write(self, key: Hashable, work: Work, item: Any) -> Any:
        """Run ``work`` with this item, and with others that wait under the same key; this item's result.

        ``key`` has to say all that matters to the work beside the items. Where a unit of several items
        raises, nothing of it is written and each item runs by itself: one is refused for its own fault only.
        Raises what the work raises, and what ``Store.write`` does.
        """
        waiting = self._waiting.get(key)
        if waiting is not None:
            mine = _Waiting(item, asyncio.get_running_loop().create_future())
            waiting.append(mine)
            return await mine.result
        self._waiting[key] = deque()
        try:
            return (await self._write(work, [item]))[0]
        finally:
            self._next(key, work)

    def _next(self, key: Hashable, work: Work) -> None:
        waiting = self._waiting[key]
        chosen: list[_Waiting] = []
        while waiting and len(chosen) < MOST_ITEMS:
            one = waiting.popleft()
            if not one.result.done():  # who asked may have gone
                chosen.append(one)
        if not chosen:
            del self._waiting[key]
            return
        task = asyncio.get_running_loop().create_task(
            self._together(key, work, chosen), context=chosen[0].context
        )
        self._tasks.add(task)  # the loop itself holds tasks weakly
        task.add_done_callback(self._tasks.discard)

    async def _together(self, key: Hashable, work: Work, chosen: list[_Waiting]) -> None:
        try:
            results = await self._write(work, [one.item for one in chosen])
        except (CommitUnknown, DatabaseUnavailable) as error:
            for one in chosen:
                one.refuse(error)
        except Exception as error:
            if len(chosen) == 1:
                chosen[0].refuse(error)
            else:
                loop = asyncio.get_running_loop()
                alone = [loop.create_task(self._alone(work, one), context=one.context) for one in chosen]
                await asyncio.gather(*alone)
        else:
            for one, result in zip(chosen, results, strict=True):
                one.give(result)
        finally:
            for one in chosen:
                one.result.cancel()  # nobody waits for ever, also when this task is cancelled
            self._next(key, work)

    async def _alone(self, work: Work, one: _Waiting) -> None:
        try:
            one.give((await self._write(work, [one.item]))[0])
        except Exception as error:
            one.refuse(error)
