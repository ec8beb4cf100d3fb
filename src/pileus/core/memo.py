"""Results of pure functions, remembered while they are in use.

An LRU cache alone keeps what is gone until it is full. A node plans the same flows again and again, while
ports come and go: so the caches of a room are kept in one :class:`Memos`, and whoever has just gone through
everything calls :meth:`Memos.trim`. A cache that has grown to more than twice what one such round needed is
emptied; what is still in use is back with the next round.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

SPARE = 1024
"""Entries that are never worth a clearing."""


class Memos:
    """The caches of one room."""

    def __init__(self) -> None:
        self._caches: list[functools._lru_cache_wrapper[object]] = []
        self._needed: dict[int, int] = {}

    def remember(self, limit: int) -> Callable[[Callable[P, T]], Callable[P, T]]:
        """Decorate a pure function of hashable arguments; at most ``limit`` results are kept."""

        def decorate(function: Callable[P, T]) -> Callable[P, T]:
            cached = functools.lru_cache(limit)(function)
            self._caches.append(cached)
            return cached  # type: ignore[return-value]

        return decorate

    def trim(self) -> None:
        """Empty the caches that hold much more than a round needs. Called after each full round."""
        for index, cache in enumerate(self._caches):
            size = cache.cache_info().currsize
            needed = self._needed.setdefault(index, size)
            if size > 2 * needed + SPARE:
                cache.cache_clear()
                del self._needed[index]

    @property
    def entries(self) -> int:
        """How many results are kept."""
        return sum(cache.cache_info().currsize for cache in self._caches)
