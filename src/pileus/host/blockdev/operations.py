"""One-shot operations on volumes: a table of functions, each of which may be done twice.

An operation that was interrupted is begun anew: the pool's verbs leave nothing half made, and files on their
way are written over. How one ended is in the journal until the server names it no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, cast

from pileus.drivers.backups.chunks import Backups
from pileus.drivers.pools.pool import Source
from pileus.host.blockdev.hands import Refused, Task
from pileus.host.blockdev.pools import GIB, PoolParts
from pileus.host.hypervisor.carrying import bring
from pileus.wire import volume as wire
from pileus.wire.volume import VolumeSource

Result = dict[str, Any]


async def _create(task: Task) -> Result:
    wanted = task.parts.wanted(task.volume_id, task.operation.size_gib)
    if task.volume.encryption is not None:
        raise Refused("This pool can't encrypt volumes.")
    pool, source = task.parts.pool, task.operation.source
    if source is None:
        await pool.create(wanted)
    elif source.image is not None:
        base = await task.hands.cache.get(source.image, task.hands.server)
        await pool.create_from_file(wanted, base.path, base.format)
    elif source.volume_id is not None:
        await pool.clone(wanted, _stored(source))
    elif source.backup is not None:
        await pool.create(wanted)
        await _put_back(task, source.backup)
    else:
        raise Refused("The source of the volume is not known here.")
    return {}


def _stored(source: VolumeSource) -> Source:
    assert source.volume_id is not None
    return Source(volume_id=source.volume_id, snapshot_id=source.snapshot_id)


async def _delete(task: Task) -> Result:
    await task.parts.pool.delete(task.volume_id)
    return {}


async def _extend(task: Task) -> Result:
    size, pool = task.operation.size_gib * GIB, task.parts.pool
    stored = (await pool.contents()).volumes.get(task.volume_id)
    if stored is None or stored.size < size:
        await pool.extend(task.volume_id, size)
    return {}


async def _snapshot(task: Task) -> Result:
    await task.parts.pool.snapshot(task.volume_id, _snapshot_id(task))
    return {}


async def _delete_snapshot(task: Task) -> Result:
    await task.parts.pool.delete_snapshot(task.volume_id, _snapshot_id(task))
    return {}


async def _revert(task: Task) -> Result:
    await task.parts.pool.revert(task.volume_id, _snapshot_id(task))
    return {}


def _snapshot_id(task: Task) -> str:
    if task.operation.snapshot_id is None:
        raise Refused("No snapshot was named.")
    return task.operation.snapshot_id


async def _rewrite(task: Task) -> Result:
    source = task.operation.source
    if source is None or source.image is None:
        raise Refused("A volume is written over with an image, and none was named.")
    base = await task.hands.cache.get(source.image, task.hands.server)
    await task.parts.pool.rewrite(task.volume_id, base.path, base.format)
    return {}


async def _upload(task: Task) -> Result:
    image = task.operation.image
    if image is None or image.disk_format not in ("raw", "qcow2"):
        raise Refused("A volume can be brought as a raw or a qcow2 image.")
    format = cast(Literal["raw", "qcow2"], image.disk_format)
    try:
        await task.parts.pool.copy_out(
            Source(volume_id=task.volume_id), task.file, format, compress=format == "qcow2"
        )
        await bring(task.hands.server, image.upload, image.download, task.file)
    finally:
        await asyncio.to_thread(task.file.unlink, missing_ok=True)
    return {}


async def _backup(task: Task) -> Result:
    backup, backups = task.operation.backup, task.hands.backups
    if backup is None or backups is None:
        raise Refused("This node has no place for backups.")
    if backup.encryption is not None:
        raise Refused("Backups can't be encrypted here.")
    snapshot = task.operation.snapshot_id
    try:
        source = Source(volume_id=task.volume_id, snapshot_id=snapshot)
        await task.parts.pool.copy_out(source, task.file, "raw")
        done = await backups.backup(
            backup.backup_id,
            task.file,
            container=backup.container,
            parent_id=backup.parent_id,
            progress=lambda percent: task.hands.progress(task.operation.operation_id, percent),
        )
    finally:
        await asyncio.to_thread(task.file.unlink, missing_ok=True)
    return {"size_bytes": done.size_bytes, "object_count": done.object_count}


async def _restore(task: Task) -> Result:
    if task.operation.backup is None:
        raise Refused("No backup was named.")
    await _put_back(task, task.operation.backup)
    return {}


async def _put_back(task: Task, backup: wire.VolumeBackup) -> None:
    backups = task.hands.backups
    if backups is None:
        raise Refused("This node has no place for backups.")
    if backup.encryption is not None:
        raise Refused("Backups can't be encrypted here.")
    try:
        await backups.restore(
            backup.backup_id,
            task.file,
            container=backup.container,
            progress=lambda percent: task.hands.progress(task.operation.operation_id, percent),
        )
        await task.parts.pool.restore(task.volume_id, task.file)
    finally:
        await asyncio.to_thread(task.file.unlink, missing_ok=True)


async def snapshot_group(operation: wire.VolumeOperation, pools: Mapping[str, PoolParts]) -> None:
    """Keep all volumes of a group at one moment. Raises one of TRANSIENT, BUSY or LASTING."""
    names = {one.pool for one in operation.members}
    if len(names) != 1 or not names <= pools.keys():
        raise Refused("The volumes of the group are not in one pool of this node.")
    wanted = {one.volume_id: one.snapshot_id for one in operation.members}
    await pools[names.pop()].pool.snapshot_all(wanted)


async def on_backup(operation: wire.VolumeOperation, backups: Backups | None) -> Result:
    """Do what is about a backup and no volume; its result. Raises one of LASTING."""
    backup = operation.backup
    if backup is None or backups is None:
        raise Refused("This node has no place for backups.")
    match operation.kind:
        case wire.DELETE_BACKUP:
            await backups.delete(backup.backup_id, container=backup.container)
            return {}
        case wire.VERIFY_BACKUP:
            size, count = await backups.verify(backup.backup_id, container=backup.container)
            if size != operation.size_gib * GIB:
                raise Refused(f"The backup is {size} bytes long, and not {operation.size_gib} GiB.")
            return {"object_count": count}
    raise Refused(f"This node does not know the operation {operation.kind}.")


OPERATIONS: dict[str, Callable[[Task], Awaitable[Result]]] = {
    wire.CREATE: _create,
    wire.DELETE: _delete,
    wire.EXTEND: _extend,
    wire.SNAPSHOT: _snapshot,
    wire.DELETE_SNAPSHOT: _delete_snapshot,
    wire.REVERT: _revert,
    wire.UPLOAD: _upload,
    wire.REWRITE: _rewrite,
    wire.BACKUP: _backup,
    wire.RESTORE: _restore,
}
"""By the word that the server uses for it."""


async def carry_out(task: Task) -> Result:
    """Do it; its result. Raises one of TRANSIENT, BUSY or LASTING (``hands``)."""
    work = OPERATIONS.get(task.operation.kind)
    if work is None:
        raise Refused(f"This node does not know the operation {task.operation.kind} on volumes.")
    return await work(task)
