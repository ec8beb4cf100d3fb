"""Backups of disks as chunks that are named by their content.

A disk is cut into chunks of one size. Each is named by the SHA-256 of its bytes, compressed with zstd, and
kept once for all backups of its container, so that a backup costs what has changed since the one before.
A chunk of zeros is no object. The list of a backup names all of its chunks, also those that an earlier backup
has brought: whoever has the list and the chunks needs nothing else, and backups may be deleted in any order.
What is read back is compared with its name.

::

    CONTAINER/lists/BACKUP_ID.json    {"version", "size", "chunk_size", "chunks": [HASH or "" for zeros, …]}
    CONTAINER/chunks/HA/HASH.zst

The list is written last: without it there is no backup, and chunks that no list names are removed when a
backup is deleted.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import zstandard

from pileus.drivers.backups.objects import ObjectMissing, Objects

CHUNK = 4 << 20
_LEVEL = 3
_LONGEST_DISK, _LONGEST_CHUNK = 1 << 50, 64 << 20


class BackupFailed(Exception):
    """A backup can't be made or read; the text is the reason."""


class BackupList(msgspec.Struct, frozen=True):
    """The content of a disk. ``chunks``: hashes, empty for zeros."""

    version: int
    size: int
    chunk_size: int
    chunks: tuple[str, ...]


class Done(msgspec.Struct, frozen=True):
    """A backup that was made: ``size_bytes`` of objects that it brought, and how many."""

    size_bytes: int
    object_count: int


def _nothing(percent: int) -> None:
    pass


def _from_thread(progress: Callable[[int], None]) -> Callable[[int], None]:
    """``progress`` for a thread: it is told where the loop runs, and only of what is new."""
    loop, told = asyncio.get_running_loop(), -1

    def tell(percent: int) -> None:
        nonlocal told
        if percent != told:
            told = percent
            loop.call_soon_threadsafe(progress, percent)

    return tell


class Backups:
    """Backups of one place. Files are read and written in threads."""

    def __init__(self, objects: Objects, *, chunk: int = CHUNK) -> None:
        self._objects = objects
        self._chunk = chunk
        self._deleting = asyncio.Lock()
        self._under_way = 0
        self._quiet = asyncio.Condition()

    async def backup(
        self,
        backup_id: str,
        file: Path,
        *,
        container: str,
        parent_id: str | None = None,
        progress: Callable[[int], None] = _nothing,
    ) -> Done:
        """Keep the content of a raw file. With ``parent_id`` chunks that it has are taken to be there.

        Raises BackupFailed. One that is interrupted leaves chunks, which serve when it is begun anew.
        """
        async with self._deleting:  # nobody removes chunks that are taken to be there
            self._under_way += 1
        try:
            return await asyncio.to_thread(
                self._backup, backup_id, file, container, parent_id, _from_thread(progress)
            )
        except (OSError, zstandard.ZstdError) as error:
            raise BackupFailed(f"The backup can't be written: {_text(error)}") from error
        finally:
            self._under_way -= 1
            async with self._quiet:
                self._quiet.notify_all()

    def _backup(
        self,
        backup_id: str,
        file: Path,
        container: str,
        parent_id: str | None,
        progress: Callable[[int], None],
    ) -> Done:
        with self._objects.hold(container, alone=False):
            return self._write(backup_id, file, container, parent_id, progress)

    def _write(
        self,
        backup_id: str,
        file: Path,
        container: str,
        parent_id: str | None,
        progress: Callable[[int], None],
    ) -> Done:
        known = set(self._list(container, parent_id).chunks) if parent_id is not None else set()
        names: list[str] = []
        size = count = 0
        compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=False)
        with file.open("rb") as opened:
            total = os.fstat(opened.fileno()).st_size
            for offset in range(0, total, self._chunk):
                length = min(self._chunk, total - offset)
                content = _read(opened.fileno(), offset, length)
                name = "" if content is None else hashlib.sha256(content).hexdigest()
                names.append(name)
                if content is not None and name not in known:
                    known.add(name)
                    where = _chunk_name(container, name)
                    if not self._objects.has(where):
                        packed = compressor.compress(content)
                        self._objects.put(where, packed)
                        size, count = size + len(packed), count + 1
                progress((offset + length) * 100 // total)
        made = msgspec.json.encode(BackupList(1, total, self._chunk, tuple(names)))
        self._objects.put(_list_name(container, backup_id), made)
        return Done(size + len(made), count + 1)

    async def restore(
        self, backup_id: str, file: Path, *, container: str, progress: Callable[[int], None] = _nothing
    ) -> int:
        """Write a backup's content as a raw file; its size. Each chunk is checked. Raises BackupFailed."""
        try:
            return await asyncio.to_thread(self._restore, backup_id, file, container, _from_thread(progress))
        except OSError as error:
            raise BackupFailed(f"The backup can't be restored: {_text(error)}") from error

    def _restore(self, backup_id: str, file: Path, container: str, progress: Callable[[int], None]) -> int:
        kept = self._list(container, backup_id)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(file, flags, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            os.ftruncate(descriptor, kept.size)
            for number, content in enumerate(self._contents(container, kept)):
                if content is not None:
                    opened.seek(number * kept.chunk_size)
                    opened.write(content)
                progress((number + 1) * 100 // len(kept.chunks))
        return kept.size

    async def verify(self, backup_id: str, *, container: str) -> tuple[int, int]:
        """Read a backup back and compare all of it with what it should be; its size, and how many objects it
        has. Raises BackupFailed."""

        def work() -> tuple[int, int]:
            kept = self._list(container, backup_id)
            for _ in self._contents(container, kept):
                pass
            return kept.size, len(set(kept.chunks) - {""}) + 1

        try:
            return await asyncio.to_thread(work)
        except OSError as error:
            raise BackupFailed(f"The backup can't be read: {_text(error)}") from error

    def _contents(self, container: str, kept: BackupList) -> Iterator[bytes | None]:
        """The chunks of a list in order; None: zeros."""
        decompressor = zstandard.ZstdDecompressor()
        for number, name in enumerate(kept.chunks):
            if not name:
                yield None
                continue
            length = min(kept.chunk_size, kept.size - number * kept.chunk_size)
            try:
                packed = self._objects.get(_chunk_name(container, name))
                # What the chunk says of itself is what room is taken for.
                if zstandard.get_frame_parameters(packed).content_size != length:
                    raise BackupFailed(f"The chunk {name} of the backup is damaged.")
                content = decompressor.decompress(packed, max_output_size=length)
            except ObjectMissing:
                raise BackupFailed(f"The backup lacks the chunk {name}.") from None
            except zstandard.ZstdError as error:
                raise BackupFailed(f"The chunk {name} of the backup is damaged: {error}") from error
            if len(content) != length or hashlib.sha256(content).hexdigest() != name:
                raise BackupFailed(f"The chunk {name} of the backup is damaged.")
            yield content

    async def delete(self, backup_id: str, *, container: str) -> None:
        """Forget a backup, and remove the chunks that no other one of its container has. One that is not
        there is fine. Raises BackupFailed where it can't be done."""
        async with self._deleting:
            async with self._quiet:
                await self._quiet.wait_for(lambda: not self._under_way)
            try:
                await asyncio.to_thread(self._delete, backup_id, container)
            except OSError as error:
                raise BackupFailed(f"The backup can't be deleted: {_text(error)}") from error

    def _delete(self, backup_id: str, container: str) -> None:
        with self._objects.hold(container, alone=True):
            self._remove(backup_id, container)

    def _remove(self, backup_id: str, container: str) -> None:
        self._objects.delete(_list_name(container, backup_id))
        needed: set[str] = set()
        for name in self._objects.names(f"{container}/lists"):
            other = Path(name).stem
            needed.update(self._list(container, other).chunks)
        for name in list(self._objects.names(f"{container}/chunks")):
            if Path(name).stem not in needed:
                self._objects.delete(name)

    def _list(self, container: str, backup_id: str) -> BackupList:
        try:
            kept = msgspec.json.decode(self._objects.get(_list_name(container, backup_id)), type=BackupList)
        except ObjectMissing:
            raise BackupFailed(f"There is no backup {backup_id}.") from None
        except msgspec.DecodeError as error:
            raise BackupFailed(f"The list of the backup {backup_id} can't be read: {error}") from error
        whole = 0 < kept.chunk_size <= _LONGEST_CHUNK and -(-kept.size // kept.chunk_size) == len(kept.chunks)
        if kept.version != 1 or not 0 <= kept.size <= _LONGEST_DISK or not whole:
            raise BackupFailed(f"The list of the backup {backup_id} makes no sense.")
        return kept


def _read(descriptor: int, offset: int, length: int) -> bytes | None:
    """Bytes of a file; None where they are zeros. Holes are not read."""
    try:
        if os.lseek(descriptor, offset, os.SEEK_DATA) >= offset + length:
            return None
    except OSError:
        return None  # a hole to its end
    content = os.pread(descriptor, length, offset)
    if len(content) != length:
        raise OSError(0, "the file became shorter while it was read")
    return content if content.count(0) != length else None


def _list_name(container: str, backup_id: str) -> str:
    return f"{container}/lists/{backup_id}.json"


def _chunk_name(container: str, name: str) -> str:
    return f"{container}/chunks/{name[:2]}/{name}.zst"


def _text(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
