"""One item that can't be done keeps none of the others waiting: batches are halved until culprits are alone.

A batch that goes through costs what it always did. One that is refused is done in halves: with one
culprit among N that is about twice the logarithm of N batches, and ``Patience`` sees to it that it is not
done again with every pass.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from pileus.core.errors import Fault

T = TypeVar("T")
Failures = list[tuple[T, Exception]]


async def by_halves(
    items: Sequence[T],
    work: Callable[[Sequence[T]], Awaitable[object]],
    *,
    fatal: tuple[type[Exception], ...] = (),
) -> Failures[T]:
    """Do ``work`` for all items; those for which it could not be done, each with what it raised. What is
    ``fatal`` is nobody's fault, such as a connection that is lost: it is raised."""
    if not items:
        return []
    try:
        await work(items)
    except fatal:
        raise
    except Exception as error:
        if len(items) == 1:
            return [(items[0], error)]
    else:
        return []
    half = len(items) // 2
    return [
        *await by_halves(items[:half], work, fatal=fatal),
        *await by_halves(items[half:], work, fatal=fatal),
    ]


def culprits(items: Sequence[T], attempt: Callable[[Sequence[T]], object]) -> Failures[T]:
    """The items with which a pure ``attempt`` raises, each with what it raised. Items that raise only
    together are told apart by their order: the first ones are kept."""
    found: Failures[T] = []
    kept: list[T] = []

    def try_with(some: Sequence[T]) -> None:
        if not some:
            return
        try:
            attempt([*kept, *some])
        except Exception as error:
            if len(some) == 1:
                found.append((some[0], error))
                return
            half = len(some) // 2
            try_with(some[:half])
            try_with(some[half:])
        else:
            kept.extend(some)

    try_with(items)
    return found


def reason(error: BaseException) -> str:
    """Return an error's text for those who read a status: never empty, and with its kind where it is none
    of ours or of the system's."""
    if isinstance(error, Fault):
        return error.text
    if isinstance(error, OSError) and error.errno in errno.errorcode and not error.args[1:]:
        return os.strerror(error.errno or 0)
    text = " ".join(str(error).split())
    if type(error).__module__.startswith("pileus.") or isinstance(error, OSError):
        return text or type(error).__name__
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
