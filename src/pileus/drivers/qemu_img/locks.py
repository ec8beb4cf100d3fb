"""Whether a program of QEMU's has an image open for writing.

Source: QEMU's block/file-posix.c: whoever may write holds a shared lock on the byte 100 + 1 of the file,
as locks of open file descriptions (fcntl(2), F_OFD_GETLK).
"""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

_WRITES = 101
_GET_LOCK = 36
"""F_OFD_GETLK, which Python has no name for."""
_LOCK = struct.Struct("hhqqi4x")


def is_written(path: Path) -> bool:
    """Whether somebody has it open for writing; nobody has what is not there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        asked = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _WRITES, 1, 0)
        found: bytes = fcntl.fcntl(descriptor, _GET_LOCK, asked)
    finally:
        os.close(descriptor)
    return bool(_LOCK.unpack(found)[0] != fcntl.F_UNLCK)
