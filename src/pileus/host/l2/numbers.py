"""Numbers for things that have names, the same after a restart."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping


def stable_ids(names: Iterable[str], limit: int = (1 << 31) - 1) -> dict[str, int]:
    """A number from 1 to ``limit`` for each name, a hash of it.

    Two names with one hash are told apart by their order, so that the numbers depend on the set
    of names alone; with a thousand names that happens once in four thousand switches.
    """
    taken: dict[int, str] = {}
    for name in sorted(set(names)):
        number = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()) % limit + 1
        while number in taken:
            number = number % limit + 1
        taken[number] = name
    return {name: number for number, name in taken.items()}


def allocate(
    wanted: Iterable[str], held: Mapping[str, int], occupied: Collection[int], limit: int, after: int = 0
) -> dict[str, int]:
    """Numbers for ``wanted`` names: those they hold, else the next free ones behind ``after``.

    ``occupied`` are numbers that may not be given out even though nobody wanted holds them any
    more: what still bears them is taken down in the same pass. Raises NumbersExhausted.
    """
    result = {name: held[name] for name in wanted if name in held}
    taken = set(held.values()) | set(occupied)
    candidate = after
    for name in wanted:
        if name in result:
            continue
        if len(taken) >= limit:
            raise NumbersExhausted(f"all {limit} numbers are in use")
        candidate = candidate % limit + 1
        while candidate in taken:
            candidate = candidate % limit + 1
        result[name] = candidate
        taken.add(candidate)
    return result


class NumbersExhausted(Exception):
    """More networks or devices on one switch than there are numbers for them."""
