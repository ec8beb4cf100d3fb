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
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, cast

from pileus.core import log
from pileus.drivers.pools.files import PoolFiles, judge_file
from pileus.drivers.pools.holding import Holding, failure_of, in_use
from pileus.drivers.pools.layers import Key, Layer, Record, chain, sole_child, users
from pileus.drivers.pools.pool import (
    BadSource,
    Contents,
    Live,
    Place,
    PoolFailed,
    PoolUnavailable,
    Source,
    Stored,
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


def room_of(root: Path) -> tuple[int, int]:
    """Bytes of the file system that a folder is in, and how many of them are free."""
    found = os.statvfs(root)
    return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize


def _size(file: Path) -> int:
    return file.stat().st_size


class DirectoryPool(Holding):
    """``Pool`` below the folder ``root``. ``owner``: user and group of the files, where this process may say.
    ``room``: bytes that there are and that are free. ``is_written``: whether somebody has a file open;
    ``live``: the hypervisor of this host, if it has one."""

    def __init__(
        self,
        root: Path,
        images: Images,
        *,
        owner: tuple[int, int] | None = None,
        room: Callable[[Path], tuple[int, int]] = room_of,
        is_written: Callable[[Path], bool] = locks.is_written,
        live: Live | None = None,
        durable: bool = True,
    ) -> None:
        super().__init__(PoolFiles(root, owner=owner, durable=durable), is_written)
        self._images = images
        self._room = room
        self._live = live
        self._tidying = asyncio.Lock()
        self._merging: dict[Key, asyncio.Event] = {}

    async def open(self) -> None:
        """See Pool."""
        await asyncio.to_thread(self._files.open)
        for volume_id in [key for key, record in self._records.items() if record.coming is not None]:
            async with self._lock(volume_id):
                await self._settle(self._records[volume_id])

    async def contents(self) -> Contents:
        """See Pool."""
        try:
            return await asyncio.to_thread(self._contents)
        except OSError as error:
            raise PoolUnavailable("contents", f"{error.strerror}: {error.filename}") from error

    def _contents(self) -> Contents:
        """In a thread: volumes come, change and go meanwhile, so what is gone through is copied at once."""
        records = dict(self._records)
        volumes = {key: self._stored(record) for key, record in records.items() if record.active}
        return Contents(volumes, tuple(self._files.strange(records, {*records, *list(self._locks)})))

    def _stored(self, record: Record) -> Stored:
        layers = dict(record.layers)
        return Stored(
            volume_id=record.volume_id,
            size=record.size,
            used=self._files.used(record.volume_id, layers),
            thick=record.thick,
            snapshots={
                key: layers[number].size for key, number in list(record.snapshots.items()) if number in layers
            },
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
                record.add(*await self._empty(record, wanted))
                await self._save(record)
        return self._stored(record)

    async def create_from_file(self, wanted: Wanted, file: Path, format: str) -> Stored:
        """See Pool."""
        async with self._making("create_from_file", wanted) as record:
            if record.active is None:
                record.add(*await self._filled(record, wanted, file, format))
                await self._save(record)
        return self._stored(record)

    async def rewrite(self, volume_id: str, file: Path, format: str) -> Stored:
        """See Pool."""
        return await self._rewrite("rewrite", volume_id, file, format)

    async def restore(self, volume_id: str, file: Path) -> Stored:
        """See Pool."""
        return await self._rewrite("restore", volume_id, file, None)

    async def _rewrite(self, verb: str, volume_id: str, file: Path, format: str | None) -> Stored:
        async with self._changing(verb, volume_id) as record:
            await self._must_be_free(verb, record)
            assert record.active is not None
            wanted = Wanted(
                volume_id=volume_id,
                size=record.size,
                thick=record.thick,
                format=record.layers[record.active].format,
            )
            if format is None:
                await asyncio.to_thread(self._files.own, file)
            record.add(*await self._filled(record, wanted, file, format))
            await self._save(record)
        await self._drop_unneeded()
        return self._stored(record)

    async def _filled(
        self, record: Record, wanted: Wanted, file: Path, format: str | None
    ) -> tuple[Key, Layer]:
        """A new layer with the content of a file that comes from strangers; None: of the bytes of a disk."""
        look = _size if format is None else partial(judge_file, format=format)
        size = await asyncio.to_thread(look, file)
        if size > wanted.size:
            raise BadSource("create_from_file", f"it is smaller than the file's disk: {size} bytes")
        key, layer = await self._empty(record, wanted)
        path = self._files.path(key, layer)
        await self._images.fill(file, cast(ImageFormat, format or "raw"), path, layer.format)
        return key, layer

    async def clone(self, wanted: Wanted, source: Source) -> Stored:
        """See Pool."""
        async with self._making("clone", wanted) as record:
            if record.active is not None:
                return self._stored(record)
            async with self._held("clone", source) as (below, layer):
                if layer.size > wanted.size:
                    raise PoolFailed("clone", f"it is smaller than what it begins as: {layer.size} bytes")
                if wanted.thick or wanted.format != "qcow2" or self._is_deep(below):
                    record.add(*await self._copied(record, wanted, below))
                else:
                    record.add(*await self._overlay(record, wanted.size, below))
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
                if (failure := failure_of(verb, error)) is not None:
                    raise failure from error
                raise

    async def _empty(self, record: Record, wanted: Wanted) -> tuple[Key, Layer]:
        """A new layer in which nothing was written."""
        key = record.next_key()
        layer = Layer(format=wanted.format, size=wanted.size)
        await asyncio.to_thread(self._files.write_layer, key, layer, empty=wanted.thick)
        if wanted.thick:
            # what it takes is taken now, or it is refused now
            path = self._files.path(key, layer)
            await self._images.create(path, layer.format, layer.size, preallocation="falloc")
        return key, layer

    async def _copied(self, record: Record, wanted: Wanted, source: Key) -> tuple[Key, Layer]:
        """A new layer with the content of another one."""
        key, layer = await self._empty(record, wanted)
        format = self._files.layer(source).format
        await self._images.fill(self._files.path(source), format, self._files.path(key, layer), layer.format)
        return key, layer

    async def _overlay(self, record: Record, size: int, below: Key) -> tuple[Key, Layer]:
        """A new layer that lies on another one."""
        key, layer = record.next_key(), Layer(format="qcow2", size=size, below=below)
        await asyncio.to_thread(self._files.write_layer, key, layer)
        return key, layer

    # -- what is there

    async def snapshot(self, volume_id: str, snapshot_id: str) -> None:
        """See Pool."""
        await self.snapshot_all({volume_id: snapshot_id})

    async def snapshot_all(self, snapshots: Mapping[str, str]) -> None:
        """See Pool."""
        async with contextlib.AsyncExitStack() as held:
            ended = {}
            for volume_id in sorted(
                snapshots
            ):  # in this order, so that nobody waits for one who waits for us
                record = await held.enter_async_context(self._changing("snapshot", volume_id))
                assert record.active is not None
                held.enter_context(self._pinning((volume_id, record.active)))
                ended[volume_id] = record.active
            records = [self._records[volume_id] for volume_id in ended]
            if all(snapshots[one.volume_id] in one.snapshots for one in records):
                return
            for record in records:  # one that was interrupted has kept another moment, and nobody knows of it
                record.snapshots.pop(snapshots[record.volume_id], None)
            await self._end_layers("snapshot", records)
            for record in records:
                record.snapshots[snapshots[record.volume_id]] = ended[record.volume_id]
                await self._save(record)

    async def _end_layers(self, verb: str, records: Sequence[Record]) -> None:
        """Nobody writes to the active layers any more: others are it."""
        written = {}
        for record in records:
            assert record.active is not None
            path = self._files.path((record.volume_id, record.active))
            if await asyncio.to_thread(self._is_written, path):
                written[path] = record
            else:
                await self._go_on(record, path)
        if written:
            await self._move_on(verb, written)

    async def _go_on(self, record: Record, path: Path) -> None:
        """Make another layer the active one, of a volume that nobody writes to."""
        assert record.active is not None
        ended = (record.volume_id, record.active)
        await asyncio.to_thread(self._files.own, path)
        if self._is_deep(ended):
            wanted = Wanted(volume_id=record.volume_id, size=record.size)
            record.add(*await self._copied(record, wanted, ended))
        else:
            record.add(*await self._overlay(record, record.size, ended))

    async def _move_on(self, verb: str, written: Mapping[Path, Record]) -> None:
        """Let the machines that write to active layers go on in others. That they are about to is noted
        before, so that nobody takes the layers below for the volumes if we end in between."""
        if self._live is None:
            raise in_use(verb, next(iter(written.values())).volume_id)
        for record in written.values():
            assert record.active is not None
            if record.coming is None:
                key, _ = await self._overlay(record, record.size, (record.volume_id, record.active))
                record.coming = key[1]
                await self._save(record)
        moves = {path: self._files.path(*self._coming(record)) for path, record in written.items()}
        moved = await self._live.move_to_overlays(moves)
        for path, record in written.items():
            if path not in moved:
                raise in_use(verb, record.volume_id)
            record.add(*self._coming(record))

    async def revert(self, volume_id: str, snapshot_id: str) -> Stored:
        """See Pool."""
        async with self._changing("revert", volume_id) as record:
            if snapshot_id not in record.snapshots:
                raise StoredMissing("revert", f"the volume {volume_id} has no snapshot {snapshot_id}")
            await self._must_be_free("revert", record)
            key = (volume_id, record.snapshots[snapshot_id])
            record.add(*await self._overlay(record, record.size, key))
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
                    if not await self._has_grown(path, layer, size):
                        raise in_use("extend", volume_id)
                else:
                    await asyncio.to_thread(self._files.own, path)
                    how: Preallocation = "falloc" if record.thick else "off"
                    await self._images.resize(path, layer.format, size, preallocation=how)
                record.size = layer.size = size
                await self._save(record)
        return self._stored(record)

    async def _has_grown(self, path: Path, layer: Layer, size: int) -> bool:
        """Whether the machine that has a layer open has made it larger."""
        if self._live is not None and await self._live.resize_file(path, size):
            return True
        return (await self._images.info(path, layer.format)).size >= size

    async def delete(self, volume_id: str) -> None:
        """See Pool."""
        async with self._lock(volume_id):
            record = self._records.get(volume_id)
            if record is None:
                await asyncio.to_thread(self._files.remove_beginning, volume_id)
                return
            if record.active is not None:
                if record.coming is not None:
                    await self._settle(record)
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
        # Whoever opens it finds nobody else writing below.
        while merging := self._merging.keys() & set(chain(self._records, self._active(volume_id))):
            await self._merging[merging.pop()].wait()
        key = self._active(volume_id)
        return Place(path=self._files.path(key), format=self._files.layer(key).format)

    def _active(self, volume_id: str) -> Key:
        record = self._record("place", volume_id)
        assert record.active is not None
        return volume_id, record.active

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
                if (failure := failure_of("copy_out", error)) is not None:
                    raise failure from error
                raise

    @contextlib.asynccontextmanager
    async def _held(
        self, verb: str, source: Source, *, keep: bool = True
    ) -> AsyncIterator[tuple[Key, Layer]]:
        """The layer that a source is, which stays as it is meanwhile. ``keep``: something will lie on it, so
        that a volume goes on in another one; so it does where a machine writes to it."""
        key, snapshot = source.volume_id, source.snapshot_id
        with contextlib.ExitStack() as pins:
            async with self._changing(verb, key) as record:
                number = record.active if snapshot is None else record.snapshots.get(snapshot)
                if number is None:
                    raise StoredMissing(verb, f"the volume {key} has no snapshot {snapshot}")
                pins.enter_context(self._pinning((key, number)))
                layer = record.layers[number]
                if snapshot is None:
                    path = self._files.path((key, number))
                    if keep or await asyncio.to_thread(self._is_written, path):
                        await self._end_layers(verb, [record])
                        await self._save(record)
                    await asyncio.to_thread(self._files.own, path)
            yield (key, number), layer

    # -- layers that nobody needs

    async def tidy(self, may_open: Callable[[str], bool] = lambda volume_id: False) -> int:
        """See Pool."""
        done = 0
        async with self._tidying:
            for volume_id in list(self._records):
                done += await self._remove_strays(volume_id)
            for key, child in sole_child(self._records):
                done += await self._merge(key, child, may_open)
        return done + await self._drop_unneeded()

    async def _remove_strays(self, volume_id: str) -> int:
        """Delete the layers that a beginning has left in a volume's folder; how many."""
        async with self._lock(volume_id):
            record = self._records.get(volume_id)
            if record is None:
                return 0
            return await asyncio.to_thread(self._files.remove_strays, record)

    async def _merge(self, key: Key, child: Key, may_open: Callable[[str], bool]) -> bool:
        """Put a layer's content into the only one that lies on it; whether that could be done now."""
        if any(may_open(volume_id) for volume_id in users(self._records, child)):
            return False
        merged = self._merging[child] = asyncio.Event()
        try:
            return await self._merge_now(key, child)
        finally:
            del self._merging[child]
            merged.set()

    async def _merge_now(self, key: Key, child: Key) -> bool:
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

    def taken(self) -> int:
        """Bytes that guests see of all layers."""
        return sum(layer.size for one in self._records.values() for layer in one.layers.values())
