"""A log file that is turned over when it has grown: ``access.log``, ``access.log.1``, …"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


class RotatingFile:
    """Lines at the end of ``path`` (mode 0640), which has about ``max_bytes`` at most; ``files`` older ones
    are kept. A line is one write."""

    def __init__(self, path: Path, *, max_bytes: int, files: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._files = files
        self._descriptor = os.open(path, _FLAGS, 0o640)
        self._size = os.fstat(self._descriptor).st_size

    def write(self, line: bytes) -> None:
        """Append a line, which ends with a newline; raises OSError where the disk is full."""
        if self._size and self._size + len(line) > self._max_bytes:
            self._turn()
        self._size += os.write(self._descriptor, line)

    def close(self) -> None:
        os.close(self._descriptor)

    def _turn(self) -> None:
        for number in range(self._files - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                os.replace(self._older(number), self._older(number + 1))  # noqa: PTH105
        if self._files:
            with contextlib.suppress(FileNotFoundError):
                self._path.replace(self._older(1))
        else:
            self._path.unlink(missing_ok=True)
        descriptor = os.open(self._path, _FLAGS, 0o640)
        os.close(self._descriptor)
        self._descriptor, self._size = descriptor, os.fstat(descriptor).st_size

    def _older(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")
