"""argon2id in memory that is kept for the next hash.

A hash fills 19 MiB. Where such a block is given back to the system after each (it is too dear to keep in
every process for ever), the next one begins with some 5,000 page faults, which take as long as the hash. So
the blocks are ours: as many as hash at once, in large pages where the system has them, wiped by argon2
after each hash, and given back when none was made for a while (``release``).
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import mmap
import re
import secrets
from collections import deque
from typing import Any

import argon2
from argon2.low_level import ARGON2_VERSION, Type, core, error_to_str, ffi

MEMORY_KIB = 19 * 1024
PASSES = 2
LANES = 1
SALT_BYTES = 16
HASH_BYTES = 32

_LARGE_PAGE = 2 << 20
_BAD_ALLOCATION = -22  # ARGON2_MEMORY_ALLOCATION_ERROR
_OURS = re.compile(
    rf"\$argon2id\$v={ARGON2_VERSION}\$m={MEMORY_KIB},t={PASSES},p={LANES}"
    r"\$([A-Za-z0-9+/]{22})\$([A-Za-z0-9+/]{43})"
)


class _Block:
    """Memory for one hash, and the functions through which argon2 takes it and gives it back."""

    def __init__(self) -> None:
        size = MEMORY_KIB << 10
        self._mapping = mmap.mmap(-1, size + _LARGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._advise("MADV_HUGEPAGE")
        whole = ffi.from_buffer("uint8_t[]", self._mapping, require_writable=True)
        begin = -int(ffi.cast("uintptr_t", whole)) % _LARGE_PAGE
        memory = whole + begin

        def allocate(place: Any, wanted: int) -> int:
            if wanted > size:
                return _BAD_ALLOCATION
            place[0] = memory
            return 0

        self.allocate = ffi.callback("int(uint8_t **, size_t)", allocate)
        self.free = ffi.callback("void(uint8_t *, size_t)", lambda place, size: None)

    def release(self) -> None:
        """Give the pages back; the block stays usable."""
        self._advise("MADV_DONTNEED")

    def _advise(self, name: str) -> None:
        advice = getattr(mmap, name, None)
        if advice is not None:
            with contextlib.suppress(OSError):  # a kernel without large pages
                self._mapping.madvise(advice)


class KeptMemory:
    """Hashes and verifies with argon2id at OWASP's least cost; may be called from several threads."""

    def __init__(self) -> None:
        self._blocks: deque[_Block] = deque()
        self._other = argon2.PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)

    def hash(self, password: str) -> str:
        """The encoded hash, about 100 characters."""
        salt = secrets.token_bytes(SALT_BYTES)
        parts = (_encode(salt), _encode(self._raw(password.encode("utf-8", "surrogatepass"), salt)))
        return f"$argon2id$v={ARGON2_VERSION}$m={MEMORY_KIB},t={PASSES},p={LANES}${parts[0]}${parts[1]}"

    def verify(self, encoded: str, password: str) -> bool:
        """Whether the password is that of an encoded argon2 hash, of whatever cost."""
        ours = _OURS.fullmatch(encoded)
        if ours is None:
            try:
                return self._other.verify(encoded, password)
            except (argon2.exceptions.Argon2Error, argon2.exceptions.InvalidHashError):
                return False
        salt, wanted = (base64.b64decode(part + "=" * (-len(part) % 4)) for part in ours.groups())
        return hmac.compare_digest(self._raw(password.encode("utf-8", "surrogatepass"), salt), wanted)

    def is_ours(self, encoded: str) -> bool:
        """Whether a hash is of the kind and cost of those that are made now."""
        return _OURS.fullmatch(encoded) is not None

    def release(self) -> None:
        """Give back the memory of all blocks that nobody hashes in at the moment."""
        for _ in range(len(self._blocks)):
            try:
                block = self._blocks.popleft()
            except IndexError:
                return
            block.release()
            self._blocks.append(block)

    def _raw(self, password: bytes, salt: bytes) -> bytes:
        try:
            block = self._blocks.pop()
        except IndexError:
            block = _Block()
        try:
            out = ffi.new("uint8_t[]", HASH_BYTES)
            pwd, seasoning = ffi.new("uint8_t[]", password), ffi.new("uint8_t[]", salt)
            context = ffi.new(
                "argon2_context *",
                {
                    "out": out,
                    "outlen": HASH_BYTES,
                    "pwd": pwd,
                    "pwdlen": len(password),
                    "salt": seasoning,
                    "saltlen": len(salt),
                    "secret": ffi.NULL,
                    "secretlen": 0,
                    "ad": ffi.NULL,
                    "adlen": 0,
                    "t_cost": PASSES,
                    "m_cost": MEMORY_KIB,
                    "lanes": LANES,
                    "threads": LANES,
                    "version": ARGON2_VERSION,
                    "allocate_cbk": block.allocate,
                    "free_cbk": block.free,
                    "flags": 0,
                },
            )
            status = core(context, Type.ID.value)
            if status:
                raise argon2.exceptions.HashingError(error_to_str(status))
            return bytes(ffi.buffer(out, HASH_BYTES))
        finally:
            self._blocks.append(block)


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).rstrip(b"=").decode("ascii")
