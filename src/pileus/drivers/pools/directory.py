"""A pool in a directory: files that QEMU opens, raw or qcow2.

A volume is a folder by its id. In it lie *layers*, files that are never renamed, and a record of them. The
*active* layer is what guests write to. A snapshot ends a layer: from then on nobody writes to it, and an
empty qcow2 that lies on it is the active one. Another volume may begin on an ended layer as well. So
snapshots, clones and reverting cost a few tables. Chains are kept short: what would lie too deep is copied
instead, and an ended layer that nothing but one other layer needs goes into that one (``tidy``), once nobody
has it open.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Literal, cast
from weakref import WeakValueDictionary

from pileus.core import log
from pileus.drivers.pools.files import PoolFiles, judge_file
from pileus.drivers.pools.layers import Key, Layer, Record, chain, sole_child, unneeded
from pileus.drivers.pools.pool import (
    BadSource,
    Contents,
    Place,
    PoolFailed,
    PoolFull,
    PoolUnavailable,
    Source,
    Stored,
    StoredInUse,
    StoredMissing,
    Usage,
    Wanted,
)
from pileus.drivers.qemu_img import locks
from pileus.drivers.qemu_img.images import (
    ImageFailed,
    ImageFormat,
    Images,
    Preallocation,
)

_log = log.get("drivers.pools")

_LONGEST_CHAIN = 8
_NO_ROOM = "No space left on device"


def room_of(root: Path) -> tuple[int, int]:
    """Bytes of the file system that a folder is in, and how many of them are free."""
    found = os.statvfs(root)
    return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize


class DirectoryPool:
    """``Pool`` below the folder ``root``. ``owner``: user and group of the files, where this process may say.
    ``room``: bytes that there are and that are free. ``is_written``: whether somebody has a file open."""

    def __init__(
        self,
        root: Path,
        images: Images,
        *,
        owner: tuple[int, int] | None = None,
        room: Callable[[Path], tuple[int, int]] = room_of,
        is_written: Callable[[Path], bool] = locks.is_written,
        durable: bool = True,
    ) -> None:
        self._files = PoolFiles(root, owner=owner, durable=durable)
        self._images = images
        self._room = room
        self._is_written = is_written
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._pinned: Counter[Key] = Counter()
        self._tidying = asyncio.Lock()

    async def open(self) -> None:
        """See Pool."""
        await asyncio.to_thread(self._files.open)

    async def contents(self) -> Contents:
        """See Pool."""
        try:
            return await asyncio.to_thread(self._contents)
        except OSError as error:
            raise PoolUnavailable("contents", f"{error.strerror}: {error.filename}") from error

    def _contents(self) -> Contents:
        volumes = {key: self._stored(record) for key, record in self._records.items() if record.active}
        return Contents(volumes, tuple(self._files.strange({*self._records, *self._locks})))

    def _stored(self, record: Record) -> Stored:
        return Stored(
            volume_id=record.volume_id,
            size=record.size,
            used=self._files.used(record),
            thick=record.thick,
            snapshots={key: record.layers[number].size for key, number in record.snapshots.items()},
        )

    async def usage(self) -> Usage:
        """See Pool."""
        try:
            total, free = await asyncio.to_thread(self._room, self._files.root)
        except OSError as error:
            raise PoolUnavailable("usage", f"{error.strerror}: {error.filename}") from error
        provisioned = sum(record.size for record in self._records.values() if record.active)
        return Usage(total=total, free=free, provisioned=provisioned)

    # -- making

    async def create(self, wanted: Wanted) -> Stored:
        """See Pool."""
        async with self._making("create", wanted) as record:
            if record.active is None:
                await self._empty(record, wanted)
                await self._save(record)
        return self._stored(record)

    async def create_from_file(self, wanted: Wanted, file: Path, format: str) -> Stored:
        """See Pool."""
        async with self._making("create_from_file", wanted) as record:
            if record.active is None:
                size = await asyncio.to_thread(judge_file, file, format)
                if size > wanted.size:
                    raise BadSource("create_from_file", f"it is smaller than the file's disk: {size} bytes")
                await self._empty(record, wanted)
                await self._fill(record, file, cast(ImageFormat, format))
                await self._save(record)
        return self._stored(record)

    async def clone(self, wanted: Wanted, source: Source) -> Stored:
        """See Pool."""
        async with self._making("clone", wanted) as record:
            if record.active is not None:
                return self._stored(record)
            async with self._held("clone", source) as (below, layer):
                if layer.size > wanted.size:
                    raise PoolFailed("clone", f"it is smaller than what it begins as: {layer.size} bytes")
                if wanted.thick or wanted.format != "qcow2" or self._is_deep(below):
                    await self._empty(record, wanted)
                    await self._fill(record, self._files.path(below), layer.format)
                else:
                    await self._put_layer(record, wanted.size, below)
                await self._save(record)
        return self._stored(record)

    @contextlib.asynccontextmanager
    async def _making(self, verb: str, wanted: Wanted) -> AsyncIterator[Record]:
        """The record of a volume, which is a new one where there is none. Nothing is left of it where it
        can't be made."""
        key = wanted.volume_id
        async with self._lock(key):
            record = self._records.get(key)
            if record is None or record.active is None:
                if record is not None and record.layers:
                    raise PoolFailed(verb, f"the volume {key} was deleted, and others lie on it")
                record = Record(volume_id=key, size=wanted.size, thick=wanted.thick)
                await asyncio.to_thread(self._files.begin, key)
            elif record.size < wanted.size:
                raise PoolFailed(verb, f"the volume {key} is there, and is smaller")
            try:
                yield record
            except BaseException as error:
                if key not in self._records:
                    await asyncio.to_thread(self._files.remove, key)
                if (failure := _failure(verb, error)) is not None:
                    raise failure from error
                raise

    async def _empty(self, record: Record, wanted: Wanted) -> None:
        """Let an empty layer be the active one."""
        key = record.next_key()
        layer = Layer(format=wanted.format, size=wanted.size)
        if wanted.thick:
            await asyncio.to_thread(self._files.write_layer, key, layer, empty=True)
            # what it takes is taken now, or it is refused now
            await self._images.create(
                self._files.path(key, layer), layer.format, layer.size, preallocation="falloc"
            )
        else:
            await asyncio.to_thread(self._files.write_layer, key, layer)
        record.add(key, layer)

    async def _fill(self, record: Record, file: Path, format: ImageFormat) -> None:
        assert record.active is not None
        layer = record.layers[record.active]
        path = self._files.path((record.volume_id, record.active), layer)
        await self._images.fill(file, format, path, layer.format)

    async def _put_layer(self, record: Record, size: int, below: Key) -> None:
        """Let an empty layer that lies on another one be the active one."""
        layer = Layer(format="qcow2", size=size, below=below)
        key = record.next_key()
        await asyncio.to_thread(self._files.write_layer, key, layer)
        record.add(key, layer)

    # -- what is there

    async def snapshot(self, volume_id: str, snapshot_id: str) -> None:
        """See Pool."""
        async with self._changing("snapshot", volume_id) as record:
            if snapshot_id in record.snapshots:
                return
            await self._must_be_free("snapshot", record)
            assert record.active is not None
            record.snapshots[snapshot_id] = record.active
            await self._end_layer(record)
            await self._save(record)

    async def _end_layer(self, record: Record) -> None:
        """Nobody writes to the active layer any more: another one is it."""
        assert record.active is not None
        ended = record.active
        below = (record.volume_id, ended)
        if self._is_deep(below):
            layer = record.layers[ended]
            await self._empty(record, Wanted(volume_id=record.volume_id, size=record.size))
            await self._fill(record, self._files.path(below), layer.format)
        else:
            await self._put_layer(record, record.size, below)

    async def revert(self, volume_id: str, snapshot_id: str) -> Stored:
        """See Pool."""
        async with self._changing("revert", volume_id) as record:
            if snapshot_id not in record.snapshots:
                raise StoredMissing("revert", f"the volume {volume_id} has no snapshot {snapshot_id}")
            await self._must_be_free("revert", record)
            await self._put_layer(record, record.size, (volume_id, record.snapshots[snapshot_id]))
            await self._save(record)
        await self._drop_unneeded()
        return self._stored(record)

    async def extend(self, volume_id: str, size: int) -> Stored:
        """See Pool."""
        async with self._changing("extend", volume_id) as record:
            if size < record.size:
                raise PoolFailed("extend", "a volume can't become smaller")
            assert record.active is not None
            layer = record.layers[record.active]
            path = self._files.path((volume_id, record.active))
            if size > record.size:
                if await asyncio.to_thread(self._is_written, path):
                    if (await self._images.info(path, layer.format)).size < size:
                        raise StoredInUse("extend", f"the volume {volume_id} is open for writing")
                else:
                    await asyncio.to_thread(self._files.own, path)
                    how: Preallocation = "falloc" if record.thick else "off"
                    await self._images.resize(path, layer.format, size, preallocation=how)
                record.size = layer.size = size
                await self._save(record)
        return self._stored(record)

    async def delete(self, volume_id: str) -> None:
        """See Pool."""
        async with self._lock(volume_id):
            record = self._records.get(volume_id)
            if record is None:
                await asyncio.to_thread(self._files.remove_beginning, volume_id)
                return
            if record.active is not None:
                await self._must_be_free("delete", record)
                record.active, record.snapshots = None, {}
                await self._save(record)
        await self._drop_unneeded()

    async def delete_snapshot(self, volume_id: str, snapshot_id: str) -> None:
        """See Pool."""
        record = self._records.get(volume_id)
        if record is None or snapshot_id not in record.snapshots:
            return
        async with self._changing("delete_snapshot", volume_id) as record:
            if record.snapshots.pop(snapshot_id, None) is not None:
                await self._save(record)
        await self._drop_unneeded()

    async def place(self, volume_id: str) -> Place:
        """See Pool."""
        record = self._record("place", volume_id)
        assert record.active is not None
        path = self._files.path((volume_id, record.active))
        return Place(path=path, format=record.layers[record.active].format)

    async def copy_out(
        self, source: Source, file: Path, format: Literal["raw", "qcow2"], *, compress: bool = False
    ) -> None:
        """See Pool."""
        async with self._held("copy_out", source, keep=False) as (key, layer):
            try:
                await asyncio.to_thread(self._files.write_file, file, format, layer.size)
                await self._images.fill(self._files.path(key), layer.format, file, format, compress=compress)
            except BaseException as error:
                await asyncio.to_thread(file.unlink, missing_ok=True)
                if (failure := _failure("copy_out", error)) is not None:
                    raise failure from error
                raise

    @contextlib.asynccontextmanager
    async def _held(
        self, verb: str, source: Source, *, keep: bool = True
    ) -> AsyncIterator[tuple[Key, Layer]]:
        """The layer that a source is, which stays as it is meanwhile. ``keep``: something will lie on it, so
        that a volume goes on in another one."""
        key, snapshot = source.volume_id, source.snapshot_id
        pinned: list[Key] = []
        try:
            async with self._changing(verb, key) as record:
                number = record.active if snapshot is None else record.snapshots.get(snapshot)
                if number is None:
                    raise StoredMissing(verb, f"the volume {key} has no snapshot {snapshot}")
                pinned = chain(self._records, (key, number))
                self._pinned.update(pinned)
                layer = record.layers[number]
                if snapshot is None:
                    await self._must_be_free(verb, record)
                    if keep:
                        await self._end_layer(record)
                        await self._save(record)
            yield (key, number), layer
        finally:
            self._pinned.subtract(pinned)
            self._pinned = +self._pinned  # without those that nobody holds

    @contextlib.asynccontextmanager
    async def _changing(self, verb: str, volume_id: str) -> AsyncIterator[Record]:
        """The record of a volume that is there. What is changed of it counts once it is saved."""
        async with self._lock(volume_id):
            record = self._record(verb, volume_id)
            try:
                yield record
            except BaseException as error:
                self._records[volume_id] = await asyncio.to_thread(self._files.read, volume_id)
                if (failure := _failure(verb, error)) is not None:
                    raise failure from error
                raise

    def _record(self, verb: str, volume_id: str) -> Record:
        record = self._records.get(volume_id)
        if record is None or record.active is None:
            raise StoredMissing(verb, f"there is no volume {volume_id}")
        return record

    async def _must_be_free(self, verb: str, record: Record) -> None:
        assert record.active is not None
        path = self._files.path((record.volume_id, record.active))
        if await asyncio.to_thread(self._is_written, path):
            raise StoredInUse(verb, f"the volume {record.volume_id} is open for writing")
        await asyncio.to_thread(self._files.own, path)

    # -- layers that nobody needs

    async def tidy(self) -> int:
        """See Pool."""
        done = 0
        async with self._tidying:
            for volume_id in list(self._records):
                done += await self._remove_strays(volume_id)
            for key, child in sole_child(self._records):
                done += await self._merge(key, child)
        return done + await self._drop_unneeded()

    async def _remove_strays(self, volume_id: str) -> int:
        """Delete the layers that a beginning has left in a volume's folder; how many."""
        async with self._lock(volume_id):
            record = self._records.get(volume_id)
            if record is None:
                return 0
            return await asyncio.to_thread(self._files.remove_strays, record)

    async def _merge(self, key: Key, child: Key) -> bool:
        """Put a layer's content into the only one that lies on it; whether that could be done now."""
        volume_id, number = child
        async with self._lock(volume_id):
            record = self._records.get(volume_id)
            if record is None or number not in record.layers or record.layers[number].below != key:
                return False
            if self._pinned[key] or self._pinned[child]:
                return False
            layer, below = record.layers[number], self._files.layer(key).below
            path = self._files.path(child)
            if await asyncio.to_thread(self._is_written, path):
                return False
            under = None if below is None else self._files.path(below)
            format = None if below is None else self._files.layer(below).format
            try:
                await asyncio.to_thread(self._files.own, path)
                await self._images.rebase(path, under, format)
            except ImageFailed as error:
                _log.info("a layer stays for now", layer=str(self._files.path(key)), why=error.reason)
                return False
            layer.below = below
            await self._save(record)
            return True

    async def _drop_unneeded(self) -> int:
        """Delete layers that nothing lies on and nothing names, with the folders that are empty then."""
        done = 0
        while gone := [key for key in unneeded(self._records) if not self._pinned[key]]:
            for volume_id, number in gone:
                record = self._records[volume_id]
                path = self._files.path((volume_id, number))
                del record.layers[number]
                if record.active is None and not record.layers:
                    await asyncio.to_thread(self._files.remove, volume_id)
                    del self._records[volume_id]
                else:
                    await self._save(record)
                    await asyncio.to_thread(path.unlink, missing_ok=True)
                done += 1
        return done

    def taken(self) -> int:
        """Bytes that guests see of all layers."""
        return sum(layer.size for one in self._records.values() for layer in one.layers.values())

    # -- records and names

    async def _save(self, record: Record) -> None:
        await asyncio.to_thread(self._files.save, record)

    def _lock(self, volume_id: str) -> asyncio.Lock:
        """The lock of a volume, which is there as long as somebody has it."""
        lock = self._locks.get(volume_id)
        if lock is None:
            lock = self._locks[volume_id] = asyncio.Lock()
        return lock

    @property
    def _records(self) -> dict[str, Record]:
        return self._files.records

    def _is_deep(self, key: Key) -> bool:
        return len(chain(self._records, key)) >= _LONGEST_CHAIN


def _failure(verb: str, error: BaseException) -> PoolFailed | None:
    """The error that whoever uses a pool is told instead of one of a part below; None: this one."""
    if isinstance(error, ImageFailed):
        text = error.reason
    elif isinstance(error, OSError):
        text = f"{error.strerror or error}: {error.filename or ''}".rstrip(": ")
    else:
        return None
    return (PoolFull if _NO_ROOM in text else PoolFailed)(verb, text)
