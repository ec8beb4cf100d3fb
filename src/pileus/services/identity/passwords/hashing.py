"""Passwords: argon2id in threads, so that the event loop never waits for a hash.

The cost is the OWASP minimum for argon2id (Password Storage Cheat Sheet): 19 MiB, two
passes, one lane. argon2 releases the interpreter's lock while it works.

Anybody may cause this work without a token, so it is bounded and shared out (``rules/fair_queue.py``), one
processor is left for everything else, and what nobody waits for any more is not done. That a password was
right is not remembered: what would make the next log-in cheap would make guesses at it cheap as well, for
whoever reads this process's memory.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import math
import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from pileus.core.errors import Fault, Forbidden, TooMany, Unavailable
from pileus.services.identity.passwords.foreign import foreign_verify, is_foreign, is_whole
from pileus.services.identity.passwords.kept_memory import KeptMemory
from pileus.services.identity.rules.fair_queue import FairQueue, Origin, QueueFull

T = TypeVar("T")

MAX_LENGTH = 4096
KEPT_S = 10.0
"""For so long after the last hash its memory is kept."""

# What a password is compared with where there is no user: the same cost, and never a match,
# since the password of this hash was random and is known to nobody.
_NOBODY = "$argon2id$v=19$m=19456,t=2,p=1$/32XN+s6bV0w/V/jxwedkQ$bJBe0aW2JDsAWqov+78Y6SurSGKG1w6IhE07jcax+BQ"
_OURSELVES = Origin("", "")
_SMOOTHING = 0.1


class PasswordVerificationError(Forbidden):
    """A password is too long to be hashed (403, as Keystone says it)."""

    message = (
        "The password length must be less than or equal to {size}. The server could not comply with the "
        "request because the password is invalid."
    )


class TooManyLogins(TooMany):
    """One client has more passwords to be checked than its share (429)."""

    message = "Too many passwords wait to be checked for this client. Try again later."


class LoginsBusy(Unavailable):
    """All clients together have more passwords to be checked than can wait (503)."""

    message = "Too many passwords wait to be checked. Try again later."


class HashingLimits(msgspec.Struct, frozen=True):
    """How much hashing may wait: of all clients, and of one."""

    waiting: int = 512
    waiting_of_one: int = 128


class _Job:
    """A hash that somebody waits for."""

    __slots__ = ("future", "work")

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()


class Passwords:
    """Hashes and compares; a few at a time, each in a thread. Close it at the end.

    Whoever awaits an answer and is cancelled leaves the queue. Both calls raise TooManyLogins or LoginsBusy.
    """

    def __init__(self, limits: HashingLimits | None = None) -> None:
        limits = limits or HashingLimits()
        self._hasher = KeptMemory()
        self._release: asyncio.TimerHandle | None = None
        self._workers = max(1, (os.cpu_count() or 1) - 1)
        self._threads = concurrent.futures.ThreadPoolExecutor(self._workers, "password")
        self._queue: FairQueue[_Job] = FairQueue(limits.waiting, limits.waiting_of_one)
        self._working = 0
        self._closed = False
        self._mean_s = 0.05

    async def hash(self, password: str, origin: Origin = _OURSELVES) -> str:
        """The encoded hash, about 100 characters. Raises PasswordVerificationError for a long password."""
        if len(password) > MAX_LENGTH:
            raise PasswordVerificationError(size=MAX_LENGTH)
        return await self._do(origin, lambda: self._hasher.hash(password))

    async def matches(self, encoded: str | None, password: str, origin: Origin = _OURSELVES) -> bool:
        """Whether the password is the one; without a hash (no such user) False at the same cost."""
        return await self._do(origin, lambda: self._matches(encoded, password[:MAX_LENGTH]))

    def replaces(self, encoded: str, password: str) -> bool:
        """Whether a hash of this password, which is the right one, should become one of ours."""
        return not self._hasher.is_ours(encoded) and is_whole(encoded, password)

    def takes(self, encoded: str) -> bool:
        """Whether a text is a hash that can be checked, of ours or of Keystone's kinds."""
        return self._hasher.is_ours(encoded) or is_foreign(encoded)

    def close(self) -> None:
        """End the threads."""
        self._closed = True
        if self._release is not None:
            self._release.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _do(self, origin: Origin, work: Callable[[], T]) -> T:
        job = _Job(work)
        try:
            dropped = self._queue.add(origin, job)
        except QueueFull as full:
            raise self._refusal(own=full.own) from None
        if dropped is not None and not dropped.future.done():
            dropped.future.set_exception(self._refusal(own=True))
        self._start()
        try:
            return await job.future  # type: ignore[no-any-return]
        finally:
            self._queue.remove(job)

    def _refusal(self, *, own: bool) -> Fault:
        fault = TooManyLogins() if own else LoginsBusy()
        fault.retry_after_s = max(1, math.ceil(len(self._queue) * self._mean_s / self._workers))
        return fault

    def _start(self) -> None:
        """Give work to idle threads."""
        loop = asyncio.get_running_loop()
        while not self._closed and self._working < self._workers:
            job = self._queue.take()
            if job is None:
                return
            self._working += 1
            done = loop.run_in_executor(self._threads, _timed, job.work)
            done.add_done_callback(lambda done, job=job: self._finish(job, done))  # type: ignore[misc]

    def _finish(self, job: _Job, done: asyncio.Future[tuple[Any, float]]) -> None:
        self._working -= 1
        if self._release is not None:
            self._release.cancel()
        self._release = None if self._closed else done.get_loop().call_later(KEPT_S, self._hasher.release)
        if not done.cancelled():
            error = done.exception()
            if error is None:
                self._mean_s += _SMOOTHING * (done.result()[1] - self._mean_s)
            if not job.future.done():
                if error is not None:
                    job.future.set_exception(error)
                else:
                    job.future.set_result(done.result()[0])
        self._start()

    def _matches(self, encoded: str | None, password: str) -> bool:
        if encoded is not None and is_foreign(encoded):
            return foreign_verify(encoded, password)
        return self._hasher.verify(encoded or _NOBODY, password) and encoded is not None


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    begun = time.perf_counter()
    return work(), time.perf_counter() - begun
