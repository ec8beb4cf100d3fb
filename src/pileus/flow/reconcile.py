"""Loops that bring what is to what should be: woken, periodic, patient with failures.

A loop has one piece of work waiting, into which all wake-ups are folded: a hundred wake-ups
during a pass make one further pass. After a failure the same work is tried again, with
growing pauses, and then everything is compared, since nobody knows how far the failed pass came.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterable

import msgspec

from pileus.core import log
from pileus.core.clock import Clock
from pileus.core.errors import Fault, NotYet
from pileus.core.recurring import Trouble

_log = log.get("flow")

RESTS_AT_MOST_S = 0.5
SOON_S = 1.0
"""The longest pause while only another part of this machine is waited for."""


class Work(msgspec.Struct, frozen=True):
    """The work of a pass: which things to look at.

    ``scopes``: what is desired there may have changed. ``reread``: everything that is desired.
    ``inspect``: everything that is there, whatever was believed of it.
    """

    scopes: frozenset[str] = frozenset()
    reread: bool = False
    inspect: bool = False

    def __or__(self, other: Work) -> Work:
        return Work(self.scopes | other.scopes, self.reread or other.reread, self.inspect or other.inspect)

    @property
    def full(self) -> bool:
        """Whether nothing is taken for granted."""
        return self.reread and self.inspect


EVERYTHING = Work(reread=True, inspect=True)


class ReconcileStatus(msgspec.Struct):
    """Counters and the last error of a loop; times are of the monotonic clock, in seconds."""

    passes: int = 0
    full_passes: int = 0
    failures: int = 0
    failures_in_a_row: int = 0
    last_success: float | None = None
    last_error: str | None = None


class Reconciler:
    """Runs ``reconcile(work)`` one at a time. The first pass looks at everything.

    ``rest``: the next pass begins so many times as long after a pass as that took, at most half a second, so
    that what comes one by one is done several at a time, and whoever is asked has time for others.
    """

    def __init__(
        self,
        name: str,
        reconcile: Callable[[Work], Awaitable[None]],
        clock: Clock,
        *,
        period_s: float,
        retry_s: float = 0.2,
        retry_limit_s: float = 15.0,
        rest: float = 0.0,
    ) -> None:
        self.status = ReconcileStatus()
        self._trouble = Trouble(_log, "a pass failed", loop=name)
        self._name = name
        self._reconcile = reconcile
        self._clock = clock
        self._period_s = period_s
        self._retry_s = retry_s
        self._retry_limit_s = retry_limit_s
        self._rest = rest
        self._not_before = 0.0
        self._waiting: Work | None = EVERYTHING
        self._woken = asyncio.Event()
        self._hurry = asyncio.Event()
        self._idle = asyncio.Event()

    def wake(self, scopes: Iterable[str] = (), *, reread: bool = False, inspect: bool = False) -> None:
        """Run a pass soon: after the present one, or when the pause after a failure is over."""
        work = Work(frozenset(scopes), reread, inspect)
        self._waiting = work if self._waiting is None else self._waiting | work
        self._idle.clear()
        self._woken.set()

    @property
    def is_resting(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return self._idle.is_set()

    def hurry(self) -> None:
        """Don't pause after a failure, be it that of the present pass: its reason may be over."""
        self._hurry.set()

    async def settled(self) -> None:
        """Return when nothing waits and nothing runs."""
        await self._idle.wait()

    async def loop(self) -> None:
        """Run until cancelled."""
        due = self._clock.monotonic() + self._period_s
        while True:
            if self._waiting is None:
                self._idle.set()
                pause = max(0.0, due - self._clock.monotonic())
                # Not wait_for: it may swallow a cancellation that comes with the event (before 3.12).
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._woken.wait()
                if self._clock.monotonic() >= due:
                    self._waiting = EVERYTHING
                if self._waiting is None:
                    self._woken.clear()
                    continue
            self._idle.clear()
            if (rest := self._not_before - self._clock.monotonic()) > 0:
                await self._hurried_within(rest)
            self._woken.clear()
            work, self._waiting = self._waiting, None
            if work.full:
                # Spread, so that a thousand nodes that started together do not come together again.
                due = self._clock.monotonic() + self._period_s * random.uniform(0.9, 1.1)  # noqa: S311
            await self._run(work)

    async def _run(self, work: Work) -> None:
        status = self.status
        # Before the pass and not after it: what was over before is seen by this pass; what is over while it
        # runs is a reason not to pause if it fails.
        self._hurry.clear()
        begun = self._clock.monotonic()
        try:
            await self._reconcile(work)
        except Exception as error:
            status.failures += 1
            status.failures_in_a_row += 1
            status.last_error = f"{type(error).__name__}: {error}"
            if isinstance(error, Fault):
                self._trouble.fault(error, starting=status.passes == 0)
            else:
                self._trouble.happened(status.last_error, error=status.last_error, exc_info=error)
            retry = work | Work(inspect=True)
            self._waiting = retry if self._waiting is None else self._waiting | retry
            limit_s = SOON_S if isinstance(error, NotYet) else self._retry_limit_s
            await self._pause(status.failures_in_a_row, limit_s)
            return
        self._trouble.over()
        status.passes += 1
        status.full_passes += work.full
        status.failures_in_a_row = 0
        status.last_error = None
        status.last_success = self._clock.monotonic()
        took = status.last_success - begun
        self._not_before = status.last_success + min(self._rest * took, RESTS_AT_MOST_S)

    async def _pause(self, failures: int, limit_s: float) -> None:
        longest = min(self._retry_s * 2.0 ** min(failures - 1, 20), limit_s)
        await self._hurried_within(longest * random.uniform(0.5, 1.0))  # noqa: S311

    async def _hurried_within(self, pause_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._hurry.wait()
