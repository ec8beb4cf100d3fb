"""A folder of files: ``data/NAME`` whole ones, ``incoming/NAME`` those being written."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from pileus.core.files import read_or_create_secret
from pileus.services.image.store.protocol import DataMissing, StorageFull

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextlib.contextmanager
def _full_disk_said() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull from error
        raise


class FileSink:
    """A file in ``incoming``."""

    def __init__(self, temporary: Path, final: Path, check_room: Callable[[int], None]) -> None:
        self._check_room = check_room
        self._temporary = temporary
        self._final = final
        self._file = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def write(self, data: bytes) -> None:
        self._check_room(len(data))
        view = memoryview(data)
        with _full_disk_said():
            while view:
                view = view[os.write(self._file, view) :]

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self._file, length, offset)

    def commit(self) -> None:
        with _full_disk_said():
            os.fsync(self._file)
            self._close()
            self._temporary.replace(self._final)
            _sync_folder(self._final.parent)

    def discard(self) -> None:
        self._close()
        self._temporary.unlink(missing_ok=True)
        self._final.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class FileSource:
    """An open file."""

    _file = -1

    def __init__(self, path: Path) -> None:
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise DataMissing from None
        self.size = os.fstat(self._file).st_size

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self._file, length, offset)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __del__(self) -> None:
        self.close()


class FileStore:
    """A store in a folder of this machine, which one server at a time works on.

    ``kept_bytes`` of its disk stay free: the database may lie there, and would stop when it is full.
    """

    def __init__(self, folder: Path, kept_bytes: int = 0) -> None:
        self._kept_bytes = kept_bytes
        self._data = folder / "data"
        self._incoming = folder / "incoming"
        for part in (self._data, self._incoming):
            part.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.worker = read_or_create_secret(folder / "store.id", 16).hex()

    def create(self, name: str) -> FileSink:
        return FileSink(self._incoming / name, self._data / name, self.check_room)

    def check_room(self, size: int) -> None:
        if self._kept_bytes and free_bytes(self._data) - size < self._kept_bytes:
            raise StorageFull

    def open(self, name: str) -> FileSource:
        return FileSource(self._data / name)

    def delete(self, name: str) -> None:
        (self._data / name).unlink(missing_ok=True)

    def sweep(self, wanted: Collection[str]) -> list[str]:
        whole = list(self._data.iterdir())
        gone = [path for path in whole if path.name not in wanted]
        if len(gone) == len(whole):
            # Not one is known: more likely somebody else's database than a crash, so nothing is thrown away.
            gone = []
        gone += self._incoming.iterdir()
        for path in gone:
            path.unlink(missing_ok=True)
        return [path.name for path in gone]


def free_bytes(folder: Path) -> int:
    """The bytes that are free on a folder's disk for users other than root."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
