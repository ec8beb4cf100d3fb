"""Passwords: argon2id in threads, so that the event loop never waits for a hash.

The cost is the OWASP minimum for argon2id (Password Storage Cheat Sheet): 19 MiB, two
passes, one lane. argon2 releases the interpreter's lock while it works.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os

import argon2

from pileus.core.errors import Forbidden

MEMORY_KIB = 19 * 1024
PASSES = 2
LANES = 1
MAX_LENGTH = 4096

# What a password is compared with where there is no user: the same cost, and never a match,
# since the password of this hash was random and is known to nobody.
_NOBODY = "$argon2id$v=19$m=19456,t=2,p=1$/32XN+s6bV0w/V/jxwedkQ$bJBe0aW2JDsAWqov+78Y6SurSGKG1w6IhE07jcax+BQ"


class PasswordVerificationError(Forbidden):
    """A password is too long to be hashed (403, as Keystone says it)."""

    message = (
        "The password length must be less than or equal to {size}. The server could not comply with the "
        "request because the password is invalid."
    )


class Passwords:
    """Hashes and compares; a few at a time, each in a thread. Close it at the end."""

    def __init__(self) -> None:
        self._hasher = argon2.PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)
        self._threads = concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1, "password")

    async def hash(self, password: str) -> str:
        """The encoded hash, about 100 characters. Raises PasswordVerificationError for a long password."""
        if len(password) > MAX_LENGTH:
            raise PasswordVerificationError(size=MAX_LENGTH)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._hasher.hash, password)

    async def matches(self, encoded: str | None, password: str) -> bool:
        """Whether the password is the one; without a hash (no such user) False at the same cost."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._matches, encoded, password[:MAX_LENGTH])

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _matches(self, encoded: str | None, password: str) -> bool:
        try:
            return self._hasher.verify(encoded or _NOBODY, password) and encoded is not None
        except argon2.exceptions.VerifyMismatchError:
            return False
