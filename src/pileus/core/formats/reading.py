"""Careful reading: at an offset, no more than is there, and one error for everything that is wrong."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

LARGEST_READ = 1 << 20
"""No header that a reader wants whole is longer than this."""

LARGEST_DISK = 2**63 - 1
"""A disk's size in bytes has to fit into a database's largest integer, and no real one comes near."""


class BadImage(ValueError):
    """The content must not be used; the text says why, in a few words."""


class Reader:
    """``size`` bytes, read through ``source(offset, length)``, which may return less at the end."""

    __slots__ = ("_source", "size")

    def __init__(self, source: Callable[[int, int], bytes], size: int) -> None:
        self._source = source
        self.size = size

    def starts(self, magic: bytes, offset: int = 0) -> bool:
        """Whether ``magic`` stands at ``offset``; counted from the end where that is negative."""
        at = offset if offset >= 0 else self.size + offset
        return 0 <= at <= self.size - len(magic) and self._source(at, len(magic)) == magic

    def bytes(self, offset: int, length: int, what: str) -> bytes:
        """Exactly these bytes; BadImage where they are not there or are too many to be ``what``."""
        if not 0 <= length <= LARGEST_READ:
            raise BadImage(f"its {what} has an impossible length")
        if not 0 <= offset <= self.size - length:
            raise BadImage(f"its {what} lies outside of the file")
        data = self._source(offset, length)
        if len(data) != length:
            raise BadImage(f"its {what} is cut off")
        return data

    def unpack(self, layout: str, offset: int, what: str) -> tuple[Any, ...]:
        """The same, through :mod:`struct`."""
        return struct.unpack(layout, self.bytes(offset, struct.calcsize(layout), what))


def disk_size(size: int) -> int:
    """A disk's size as a header claims it; BadImage for one that can't be."""
    if not 0 <= size <= LARGEST_DISK:
        raise BadImage("it claims an impossible disk size")
    return size
