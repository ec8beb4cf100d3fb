"""Who reads and who changes the volumes of a pool in a directory.

A volume that is changed is locked, and its record counts once it is written. Layers that something reads are
pinned: nobody touches them, nor those that they lie on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from weakref import WeakValueDictionary

from pileus.drivers.pools.files import PoolFiles
from pileus.drivers.pools.layers import Key, Layer, Record, chain, unneeded
from pileus.drivers.pools.pool import PoolFailed, PoolFull, StoredInUse, StoredMissing
from pileus.drivers.qemu_img.images import ImageFailed

_NO_ROOM = "No space left on device"
_LONGEST_CHAIN = 8


class Holding:
    """The part of a pool that keeps its verbs apart."""

    def __init__(self, files: PoolFiles, is_written: Callable[[Path], bool]) -> None:
        self._files = files
        self._is_written = is_written
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._pinned: Counter[Key] = Counter()

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

    @contextlib.contextmanager
    def _pinning(self, key: Key) -> Iterator[list[Key]]:
        """A layer and those that it lies on, which stay as they are meanwhile."""
        pinned = chain(self._records, key)
        self._pinned.update(pinned)
        try:
            yield pinned
        finally:
            self._pinned.subtract(pinned)
            self._pinned = +self._pinned  # without those that nobody holds

    @contextlib.asynccontextmanager
    async def _changing(self, verb: str, volume_id: str) -> AsyncIterator[Record]:
        """The record of a volume that is there. What is changed of it counts once it is saved."""
        async with self._lock(volume_id):
            record = self._record(verb, volume_id)
            try:
                if record.coming is not None:
                    await self._settle(record)
                yield record
            except BaseException as error:
                self._records[volume_id] = await asyncio.to_thread(self._files.read, volume_id)
                if (failure := failure_of(verb, error)) is not None:
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
            raise in_use(verb, record.volume_id)
        await asyncio.to_thread(self._files.own, path)

    def _coming(self, record: Record) -> tuple[Key, Layer]:
        assert record.active is not None and record.coming is not None
        layer = Layer(format="qcow2", size=record.size, below=(record.volume_id, record.active))
        return (record.volume_id, record.coming), layer

    async def _settle(self, record: Record) -> None:
        """A layer that a machine was told to go on in is the active one, unless the machine still writes to
        the one below: whatever came in between, nothing that it wrote is anywhere else."""
        assert record.active is not None
        path = self._files.path((record.volume_id, record.active))
        if not await asyncio.to_thread(self._is_written, path):
            record.add(*self._coming(record))
            await self._save(record)

    async def _drop_unneeded(self) -> int:
        """Delete layers that nothing lies on and nothing names, with the folders that are empty then."""
        done = 0
        while gone := [key for key in unneeded(self._records) if self._is_loose(key)]:
            for volume_id, number in gone:
                if self._lock(volume_id).locked():
                    continue  # it is being changed, and is looked at another time
                async with self._lock(volume_id):
                    done += await self._drop(volume_id, number)
        return done

    def _is_loose(self, key: Key) -> bool:
        """Whether a layer can go now: nobody reads it, and nobody changes its volume."""
        lock = self._locks.get(key[0])
        return not self._pinned[key] and (lock is None or not lock.locked())

    async def _drop(self, volume_id: str, number: int) -> bool:
        """Delete a layer, unless somebody else has done so meanwhile."""
        record = self._records.get(volume_id)
        if record is None or number not in record.layers or self._pinned[volume_id, number]:
            return False
        path = self._files.path((volume_id, number))
        del record.layers[number]
        if record.active is None and not record.layers:
            await asyncio.to_thread(self._files.remove, volume_id)
            del self._records[volume_id]
        else:
            await self._save(record)
            await asyncio.to_thread(path.unlink, missing_ok=True)
        return True


def in_use(verb: str, volume_id: str) -> StoredInUse:
    return StoredInUse(verb, f"the volume {volume_id} is open for writing")


def failure_of(verb: str, error: BaseException) -> PoolFailed | None:
    """The error that whoever uses a pool is told instead of one of a part below; None: this one."""
    if isinstance(error, ImageFailed):
        text = error.reason
    elif isinstance(error, OSError):
        text = f"{error.strerror or error}: {error.filename or ''}".rstrip(": ")
    else:
        return None
    return (PoolFull if _NO_ROOM in text else PoolFailed)(verb, text)
