"""Serial console logs: read from the end, kept small.

QEMU (or virtlogd, where the system's libvirt uses it) appends to the file. A log that has
grown beyond its limit is cut to its last part in place: the writer has it open for
appending, so its next line lands at the new end. A line written in the very moment of the
cut may be lost.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec


class ConsoleText(msgspec.Struct, frozen=True):
    """A stretch of a log: ``text`` from byte ``offset``; ``size`` is the whole log's now."""

    text: bytes
    offset: int
    size: int


def read_console(path: Path, *, limit: int, offset: int | None = None) -> ConsoleText:
    """At most ``limit`` bytes: the last ones, or those from ``offset`` on. A log that is not there is empty;
    one that has become shorter than ``offset`` (it was cut, or begun anew) is read from its start."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if offset is None:
                offset = max(0, size - limit)
            elif offset > size:
                offset = 0
            file.seek(offset)
            return ConsoleText(file.read(limit), offset, size)
    except FileNotFoundError:
        return ConsoleText(b"", 0, 0)


def last_lines(text: bytes, count: int) -> bytes:
    """The last ``count`` lines, the way the API asks for a console's output."""
    return b"".join(text.splitlines(keepends=True)[-count:]) if count > 0 else b""


def trim_console(path: Path, *, limit: int) -> bool:
    """Cut a log longer than ``limit`` bytes to its last half of that, at the start of a line.
    Gives back whether it did."""
    try:
        with path.open("r+b") as file:
            size = os.fstat(file.fileno()).st_size
            if size <= limit:
                return False
            file.seek(size - limit // 2)
            kept = file.read()
            kept = kept[kept.find(b"\n") + 1 :]
            os.ftruncate(file.fileno(), 0)
        with path.open("ab") as file:
            file.write(kept)
        return True
    except FileNotFoundError:
        return False
