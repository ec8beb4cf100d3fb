"""The tools of an operation on a volume, and what may go wrong with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from pileus.core.errors import Fault, Unavailable
from pileus.drivers.backups.chunks import BackupFailed, Backups
from pileus.drivers.pools.pool import PoolFailed, PoolUnavailable, StoredInUse
from pileus.drivers.qemu_img.images import ImageFailed
from pileus.host.blockdev.pools import PoolParts
from pileus.host.hypervisor.hands import ImageServer
from pileus.host.hypervisor.images import BadImage, ImageCache
from pileus.host.hypervisor.steps import Again, reason_of
from pileus.wire.volume import VolumeDetails, VolumeOperation

TRANSIENT = (Again, Unavailable, PoolUnavailable, TimeoutError)
"""To be tried again, as long as it takes."""
BUSY = (StoredInUse,)
"""To be tried again some times: whoever was told to let go of a volume may take a moment."""
LASTING = (PoolFailed, ImageFailed, BadImage, BackupFailed, Fault, OSError, ValueError)

_PATH = re.compile(r"(?<!\w)'?/[^\s':,]+'?")


class Refused(ValueError):
    """Not possible here; the text is told to people."""


def told(error: BaseException) -> str:
    """The reason of a failure as people may read it: where files of the node lie is left out."""
    text = error.reason if isinstance(error, PoolFailed | ImageFailed) else reason_of(error)
    return _PATH.sub("a file of the pool", text)


class Hands(msgspec.Struct, frozen=True, kw_only=True):
    """``transfers``: a folder for files on their way; ``progress``: is told how far an operation is."""

    pools: Mapping[str, PoolParts]
    server: ImageServer
    cache: ImageCache
    transfers: Path
    backups: Backups | None
    progress: Callable[[str, int], None]


class Task(msgspec.Struct, frozen=True):
    """One operation on one volume of a pool."""

    volume: VolumeDetails
    operation: VolumeOperation
    parts: PoolParts
    hands: Hands

    @property
    def volume_id(self) -> str:
        return self.volume.volume_id

    @property
    def file(self) -> Path:
        """Where its content lies on its way."""
        return self.hands.transfers / self.operation.operation_id
