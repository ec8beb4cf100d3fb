"""The ``Range`` header: one range of bytes; what else it may say is ignored, as RFC 9110 (14.2) allows."""

from __future__ import annotations

import re

_RANGE = re.compile(r"bytes=\s*(\d{0,19})\s*-\s*(\d{0,19})\s*", re.IGNORECASE | re.ASCII)


class Unsatisfiable(ValueError):
    """The range begins behind the end (416)."""


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte and length asked for; None for all of it. Raises Unsatisfiable."""
    found = _RANGE.fullmatch(header) if header is not None else None
    if found is None or (not found[1] and not found[2]):
        return None
    if not found[1]:
        length = min(int(found[2]), size)
        if not length:
            raise Unsatisfiable
        return size - length, length
    first = int(found[1])
    last = int(found[2]) if found[2] else size - 1
    if found[2] and last < first:
        return None
    if first >= size:
        raise Unsatisfiable
    return first, min(last, size - 1) - first + 1
