"""Files that hold secrets or must never be seen half written; names that a lesser user may have chosen."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import tempfile
from pathlib import Path


class NotOurs(OSError):
    """A name leads to something else than it should: a link, a file with other names, no file at all."""


def open_folder(path: Path | str, dir_fd: int | None = None) -> int:
    """A descriptor of the folder at ``path``; raises OSError where that is a link or no folder."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)


def read_own_file(name: str, dir_fd: int, *, limit: int) -> bytes:
    """The content of a regular file with this one name in a folder whose names somebody else chooses.

    Raises FileNotFoundError, and NotOurs for a link, a pipe, a device, a file that has another name, too
    (it may be anybody's), or one longer than ``limit`` bytes.
    """
    try:
        descriptor = os.open(
            name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=dir_fd
        )
    except FileNotFoundError:
        raise
    except OSError as error:
        raise NotOurs(error.errno, "is no file of ours (a link?)", name) from error
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode) or state.st_nlink != 1:
            raise NotOurs(0, "is no regular file with one name", name)
        content = file.read(limit + 1)
    if len(content) > limit:
        raise NotOurs(0, f"is longer than {limit} bytes", name)
    return content


def write_atomically(path: Path, content: bytes, mode: int = 0o644, *, durable: bool = True) -> None:
    """Put ``content`` at ``path`` so that a reader sees the old file or the new one, whole.

    The file has ``mode`` before it has its content. ``durable`` False: whole after the end of any
    process, but not of the machine's power, and a disk's turn faster.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_or_create_secret(path: Path, size: int) -> bytes:
    """The bytes of the secret at ``path``; ``size`` random ones are put there (mode 0600) first
    where there is none. Two processes that start together end with the same secret."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return keep_first(path, secrets.token_bytes(size))


def keep_first(path: Path, content: bytes) -> bytes:
    """Put ``content`` at ``path`` (mode 0600) unless something is there; what is there in the end."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another process was first
            os.link(temporary, path)
    finally:
        Path(temporary).unlink()
    return path.read_bytes()
