"""The loop: wake-ups fold, failures are tried again, a period comes round."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import pytest

from pileus.core.clock import ManualClock, SystemClock
from pileus.core.errors import NotYet, Unavailable
from pileus.core.recurring import Trouble
from pileus.flow import reconcile
from pileus.flow.reconcile import EVERYTHING, Reconciler, Work


def story(body: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(60):
            await body()

    asyncio.run(limited())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


class Recorder:
    """Notes the work it gets; fails as often as told."""

    def __init__(self, failures: int = 0, error: Exception | None = None) -> None:
        self.error = error or RuntimeError("not now")
        self.done: list[Work] = []
        self.failures = failures
        self.gate = asyncio.Event()
        self.gate.set()

    async def has_begun(self, passes: int) -> None:
        """Return when that many passes have begun."""
        await until(lambda: len(self.done) >= passes)

    async def __call__(self, work: Work) -> None:
        self.done.append(work)
        await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise self.error


def test_the_first_pass_looks_at_everything() -> None:
    async def body() -> None:
        recorder = Recorder()
        reconciler = Reconciler("test", recorder, SystemClock(), period_s=60)
        loop = asyncio.create_task(reconciler.loop())
        await reconciler.settled()
        loop.cancel()
        assert recorder.done == [EVERYTHING]
        assert (reconciler.status.passes, reconciler.status.full_passes) == (1, 1)

    story(body)


def test_wake_ups_during_a_pass_are_one_further_pass() -> None:
    async def body() -> None:
        recorder = Recorder()
        reconciler = Reconciler("test", recorder, SystemClock(), period_s=60)
        loop = asyncio.create_task(reconciler.loop())
        await reconciler.settled()
        recorder.gate.clear()
        reconciler.wake(["a:1"])
        await recorder.has_begun(2)
        reconciler.wake(["b:1"])
        reconciler.wake(["b:2"], inspect=True)
        recorder.gate.set()
        await reconciler.settled()
        loop.cancel()
        assert recorder.done[1:] == [
            Work(frozenset({"a:1"})),
            Work(frozenset({"b:1", "b:2"}), inspect=True),
        ]

    story(body)


def test_failed_work_is_done_again_and_nothing_believed() -> None:
    async def body() -> None:
        recorder = Recorder()
        reconciler = Reconciler("test", recorder, SystemClock(), period_s=60, retry_s=0.001)
        loop = asyncio.create_task(reconciler.loop())
        await reconciler.settled()
        recorder.failures = 3
        reconciler.wake(["a:1"])
        await reconciler.settled()
        loop.cancel()
        assert recorder.done[1:] == [Work(frozenset({"a:1"})), *[Work(frozenset({"a:1"}), inspect=True)] * 3]
        assert (reconciler.status.failures, reconciler.status.failures_in_a_row) == (3, 0)
        assert reconciler.status.last_error is None

    story(body)


def test_a_long_pause_ends_when_somebody_is_in_a_hurry() -> None:
    async def body() -> None:
        recorder = Recorder(failures=1)
        reconciler = Reconciler("test", recorder, SystemClock(), period_s=60, retry_s=60, retry_limit_s=60)
        loop = asyncio.create_task(reconciler.loop())
        await until(lambda: reconciler.status.failures == 1)
        assert reconciler.status.last_error == "RuntimeError: not now"
        reconciler.hurry()
        await reconciler.settled()
        loop.cancel()
        assert len(recorder.done) == 2

    story(body)


def test_a_part_of_this_machine_is_asked_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        recorder = Recorder(failures=3, error=NotYet())
        reconciler = Reconciler("test", recorder, SystemClock(), period_s=60, retry_s=60, retry_limit_s=60)
        loop = asyncio.create_task(reconciler.loop())
        await reconciler.settled()
        loop.cancel()
        assert reconciler.status.failures == 3

    monkeypatch.setattr(reconcile, "SOON_S", 0.001)
    story(body)


def test_what_is_not_there_yet_at_the_start_is_no_trouble() -> None:
    said: list[str] = []
    logger = SimpleNamespace(
        info=lambda *_, **__: said.append("info"), warning=lambda *_, **__: said.append("warning")
    )
    Trouble(logger, "a pass failed").fault(NotYet(), starting=True)
    Trouble(logger, "a pass failed").fault(NotYet())
    Trouble(logger, "a pass failed").fault(Unavailable(), starting=True)
    assert said == ["info", "warning", "warning"]


def test_a_hurry_during_a_pass_that_fails_spares_it_the_pause() -> None:
    async def body() -> None:
        recorder = Recorder(failures=1)
        recorder.gate.clear()
        reconciler = Reconciler("test", recorder, SystemClock(), period_s=600, retry_s=600, retry_limit_s=600)
        loop = asyncio.create_task(reconciler.loop())
        await recorder.has_begun(1)
        reconciler.hurry()
        recorder.gate.set()
        await reconciler.settled()
        loop.cancel()
        assert (len(recorder.done), reconciler.status.failures) == (2, 1)

    story(body)


def test_a_hurry_that_was_over_before_a_pass_spares_no_pause() -> None:
    async def body() -> None:
        recorder = Recorder()
        reconciler = Reconciler("test", recorder, SystemClock(), period_s=600, retry_s=600, retry_limit_s=600)
        loop = asyncio.create_task(reconciler.loop())
        await reconciler.settled()
        recorder.failures = 1
        reconciler.hurry()
        reconciler.wake(["a:1"])
        await until(lambda: reconciler.status.failures == 1)
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(recorder.done) == 2
        reconciler.hurry()
        await reconciler.settled()
        loop.cancel()
        assert len(recorder.done) == 3

    story(body)


def test_the_period_brings_a_full_pass() -> None:
    async def body() -> None:
        clock = ManualClock()
        recorder = Recorder()
        reconciler = Reconciler("test", recorder, clock, period_s=100)
        loop = asyncio.create_task(reconciler.loop())
        await reconciler.settled()
        reconciler.wake(["a:1"])
        await reconciler.settled()
        clock.advance(120)
        reconciler.wake(["a:2"])
        await reconciler.settled()
        loop.cancel()
        assert recorder.done == [EVERYTHING, Work(frozenset({"a:1"})), EVERYTHING]

    story(body)


def test_cancelled_together_with_a_wake_up_it_ends() -> None:
    async def body() -> None:
        reconciler = Reconciler("test", Recorder(), SystemClock(), period_s=60)
        loop = asyncio.create_task(reconciler.loop())
        await reconciler.settled()
        reconciler.wake(["a:1"])
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        assert loop.cancelled()

    story(body)


def test_a_loop_that_rests_folds_what_comes_one_by_one() -> None:
    """The first wake-up is obeyed at once, those that come soon after it are one pass; it may be hurried."""

    async def passes(rest: float, *, hurried: bool = False) -> list[int]:
        done: list[int] = []

        async def reconcile(work: Work) -> None:
            done.append(len(work.scopes))
            await asyncio.sleep(0.02)

        loop = Reconciler("test", reconcile, SystemClock(), period_s=60, rest=rest)
        task = asyncio.create_task(loop.loop())
        await loop.settled()
        await asyncio.sleep(0.6)  # longer than any rest
        loop.wake(["first"])
        while len(done) < 2:
            await asyncio.sleep(0)
        for number in range(10):
            loop.wake([f"scope-{number}"])
            if hurried:
                loop.hurry()
            await asyncio.sleep(0.005)
        await loop.settled()
        task.cancel()
        assert done[:2] == [0, 1]
        return done[2:]

    async def body() -> None:
        assert await passes(20.0) == [10]
        assert len(await passes(0.0)) > 1
        assert len(await passes(20.0, hurried=True)) > 1

    story(body)
