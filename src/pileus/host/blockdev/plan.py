"""Plan the volumes of a node: what is to be closed, done once, and opened. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from pileus.wire.volume import DELETE, VolumeConnection, VolumeDetails, VolumeExport, VolumeOperation


class Todo(msgspec.Struct, frozen=True):
    """For one volume, in this order. ``look``: exports that are open, and may lead elsewhere by then."""

    close: tuple[str, ...] = ()
    operations: tuple[VolumeOperation, ...] = ()
    open: tuple[VolumeExport, ...] = ()
    look: tuple[VolumeExport, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.close or self.operations or self.open)


Held = Mapping[str, tuple[VolumeExport, VolumeConnection]]
"""The exports of a volume that are open: as they were wanted, and how one opens them."""


def plan_volume(wanted: VolumeDetails | None, held: Held, ended: Collection[str], *, exists: bool) -> Todo:
    """``ended``: operations that were carried out; ``exists``: whether the pool has the volume.

    An export that is wanted otherwise than it is open is closed first. While a volume is about to be deleted
    all are closed. One that does not exist and is not about to be made has none: who wants it is told why.
    """
    if wanted is None:
        return Todo(close=tuple(sorted(held)))
    operations = tuple(one for one in wanted.operations if one.operation_id not in ended)
    goes = any(one.kind == DELETE for one in operations)
    exports = {} if goes else {one.export_id: one for one in wanted.exports}
    close = tuple(sorted(key for key, (export, _) in held.items() if exports.get(key) != export))
    missing = [one for key, one in exports.items() if key not in held or key in close]
    if not exists and not operations and not wanted.ready:
        missing = []
    kept = [one for key, one in exports.items() if key in held and key not in close]
    return Todo(close, operations, tuple(missing), tuple(kept))
