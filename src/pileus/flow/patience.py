"""Things that failed one by one: why, and when each is worth another try.

A loop has its pauses for a pass that failed as a whole. Where one thing of many failed, the others are
done, and only that one waits, longer each time; a thing that has changed since is tried at once.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import msgspec

from pileus.core.clock import Clock

_FIRST_S, _LIMIT_S = 0.3, 60.0


class _Failed(msgspec.Struct):
    thing: Any
    reason: str
    tries: int
    due: float


class Patience:
    """Keeps what failed, by key. ``thing`` is what it was tried with: another one is another try."""

    def __init__(self, clock: Clock, *, first_s: float = _FIRST_S, limit_s: float = _LIMIT_S) -> None:
        self._clock = clock
        self._first_s = first_s
        self._limit_s = limit_s
        self._failed: dict[str, _Failed] = {}

    def __len__(self) -> int:
        return len(self._failed)

    @property
    def reasons(self) -> dict[str, str]:
        """Reasons of the last failures, by key."""
        return {key: failed.reason for key, failed in self._failed.items()}

    def failed(self, key: str, thing: Any, reason: str) -> None:
        """It was tried and failed; it waits from now on."""
        before = self._failed.get(key)
        tries = before.tries + 1 if before is not None and before.thing == thing else 1
        pause = min(self._first_s * 2.0 ** min(tries - 1, 20), self._limit_s)
        self._failed[key] = _Failed(thing, reason, tries, self._clock.monotonic() + pause)

    def went_well(self, key: str) -> None:
        """It is as it should be."""
        self._failed.pop(key, None)

    def keep(self, keys: Container[str]) -> None:
        """Forget all others: they are no longer wanted."""
        self._failed = {key: failed for key, failed in self._failed.items() if key in keys}

    def waits(self, key: str, thing: Any) -> bool:
        """Whether it is not to be tried now."""
        failed = self._failed.get(key)
        return failed is not None and failed.due > self._clock.monotonic() and failed.thing == thing

    def hurry(self) -> None:
        """Let none wait any longer: the reason of their failure may be over."""
        for failed in self._failed.values():
            failed.due = 0.0

    def pause(self) -> float | None:
        """Seconds until one of them is due; None where none waits."""
        if not self._failed:
            return None
        return max(0.0, min(failed.due for failed in self._failed.values()) - self._clock.monotonic())
