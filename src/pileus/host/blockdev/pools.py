"""A pool as its agent has it: what was declared of it, and the driver; what is reported of it."""

from __future__ import annotations

import msgspec

from pileus.drivers.pools.pool import Pool, PoolFailed, Wanted
from pileus.host.blockdev.section import DirectoryDeclaration, PoolDeclaration
from pileus.wire.volume import FILE, PoolReport

GIB = 1 << 30


class PoolParts(msgspec.Struct, frozen=True):
    """``driver``: its kind, as Cinder's clients may read it."""

    declared: PoolDeclaration
    pool: Pool
    driver: str
    multiattach: bool = False

    @property
    def name(self) -> str:
        return self.declared.name

    def wanted(self, volume_id: str, size_gib: int) -> Wanted:
        """A volume as this pool makes them."""
        declared = self.declared
        format = declared.format if isinstance(declared, DirectoryDeclaration) else "raw"
        return Wanted(volume_id=volume_id, size=size_gib * GIB, thick=declared.thick, format=format)


async def report(
    parts: PoolParts, zone: str, *, backups: bool, backup_place: str, error: str | None
) -> PoolReport:
    """A pool as it is now; ``error``: why nothing can be done with it, where that is known."""
    declared = parts.declared
    total = free = 0
    try:
        usage = await parts.pool.usage()
        total, free = usage.total, usage.free
    except PoolFailed as failed:
        error = error or failed.reason
    return PoolReport(
        name=declared.name,
        driver=parts.driver,
        backend_name=declared.backend_name or declared.name,
        protocol=FILE,
        total_bytes=total,
        free_bytes=free,
        thin=not declared.thick,
        over_subscription_ratio=declared.over_subscription_ratio,
        reserved_percentage=declared.reserved_percentage,
        multiattach=parts.multiattach,
        backups=backups,
        backup_place=backup_place,
        shared=declared.shared if isinstance(declared, DirectoryDeclaration) else "",
        availability_zone=zone,
        error=error,
    )
