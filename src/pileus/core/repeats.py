"""Finds items that a list has twice, in one pass.

``list.count`` and ``in`` read the whole list once for each of its items: on the longest body that is taken,
a minute in which the server answers nobody.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any


def key_of(value: Any) -> Hashable:
    """A stand-in for JSON's values that can be hashed, and is equal where they are."""
    if isinstance(value, dict):
        return frozenset((name, key_of(one)) for name, one in value.items())
    if isinstance(value, list):
        return tuple(map(key_of, value))
    return value  # type: ignore[no-any-return]


def first_repeat(items: Iterable[Any]) -> int | None:
    """Where the first item stands that an earlier one is equal to; None where all differ."""
    seen: set[Hashable] = set()
    for position, item in enumerate(items):
        key = key_of(item)
        if key in seen:
            return position
        seen.add(key)
    return None
