"""A place for backups: objects by names, which are written whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from pileus.core.files import write_atomically
from pileus.core.names import path_part


class ObjectMissing(Exception):
    """There is no object of this name."""


class Objects(Protocol):
    """Names are of parts with slashes between them. All verbs block: they are called in threads."""

    def put(self, name: str, content: bytes) -> None:
        """Keep an object; what was there is written over."""

    def get(self, name: str) -> bytes:
        """Raises ObjectMissing."""

    def has(self, name: str) -> bool: ...

    def delete(self, name: str) -> None:
        """One that is not there is fine."""

    def names(self, start: str) -> Iterator[str]:
        """The names that begin with the part ``start``."""

    def hold(self, start: str, *, alone: bool) -> AbstractContextManager[None]:
        """Wait until nobody removes what begins with ``start``; ``alone``: until nobody else holds it. Also
        against other machines that have the place."""


class FolderObjects:
    """Objects in files below the folder ``root``, which may be on another machine (NFS)."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, name: str, content: bytes) -> None:
        """See Objects."""
        path = self._path(name)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, content, 0o600)

    def get(self, name: str) -> bytes:
        """See Objects."""
        try:
            descriptor = os.open(self._path(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise ObjectMissing(name) from None
        with os.fdopen(descriptor, "rb") as file:
            return file.read()

    def has(self, name: str) -> bool:
        """See Objects."""
        return self._path(name).is_file()

    def delete(self, name: str) -> None:
        """See Objects."""
        path = self._path(name)
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == self._root:
                break
            try:
                folder.rmdir()
            except OSError:
                break

    def names(self, start: str) -> Iterator[str]:
        """See Objects."""
        for folder, _, files in os.walk(self._path(start)):
            for name in sorted(files):
                if not name.startswith("."):  # one that is being written
                    yield str((Path(folder) / name).relative_to(self._root))

    @contextlib.contextmanager
    def hold(self, start: str, *, alone: bool) -> Iterator[None]:
        """See Objects."""
        path = self._path(f"{start}/lock")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            yield
        finally:
            os.close(descriptor)

    def _path(self, name: str) -> Path:
        return self._root.joinpath(*map(path_part, name.split("/")))
