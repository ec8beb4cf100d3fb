"""Daemons that outlive us: found again by their arguments, and by the namespace that they are in."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Collection, Iterator
from pathlib import Path

from pileus.core.names import is_path_part, path_part
from pileus.drivers.process import user_of

_ENDS_WITHIN_S = 5.0
_NAMESPACES = Path("/run/netns")


def arguments_of(number: int) -> tuple[str, ...] | None:
    """A process's arguments; None when it is gone (a zombie has none either)."""
    try:
        text = Path(f"/proc/{number}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return None
    return tuple(text.rstrip("\0").split("\0")) if text else None


def is_in(number: int, namespace: str | None) -> bool:
    """Whether a process is in the namespace that now has that name (None: ours)."""
    here = _NAMESPACES / path_part(namespace) if namespace else Path("/proc/self/ns/net")
    try:
        return Path(f"/proc/{number}/ns/net").stat().st_ino == here.stat().st_ino
    except OSError:
        return False


def processes() -> Iterator[tuple[int, tuple[str, ...]]]:
    """All processes with their arguments."""
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and (arguments := arguments_of(int(entry.name))):
            yield int(entry.name), arguments


def found_by_file(program: str, start: str, *, users: Collection[int]) -> dict[str, int]:
    """The processes ``PROGRAM -c START<key>/conf ...`` that act as one of these users, by key.

    Anybody may give a process whatever arguments he likes."""
    found = {}
    for number, arguments in processes():
        if arguments[0] != program or len(arguments) < 3 or not arguments[2].startswith(start):
            continue
        key, _, file = arguments[2].removeprefix(start).partition("/")
        if file == "conf" and is_path_part(key) and user_of(number) in users:
            found[key] = number
    return found


async def end(number: int) -> None:
    """End a process: by request, and by force when it does not."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, how)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ENDS_WITHIN_S):
                while arguments_of(number) is not None:  # noqa: ASYNC110 - not our child
                    await asyncio.sleep(0.005)
                return
