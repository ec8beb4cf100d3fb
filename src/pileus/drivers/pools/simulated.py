"""A simulated pool: the directory's code over images without content, with as much room as one says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pileus.drivers.pools.directory import DirectoryPool
from pileus.drivers.pools.pool import Live
from pileus.drivers.qemu_img.simulated import SimulatedImages


def simulated_pool(
    root: Path,
    total: int,
    *,
    is_written: Callable[[Path], bool] = lambda path: False,
    live: Live | None = None,
) -> DirectoryPool:
    """A pool of ``total`` bytes below the folder ``root``. A volume counts as it is seen by a guest, since
    nothing is ever written to it; ``is_written`` says which files a guest has open, ``live`` whose it is."""
    pool: DirectoryPool

    def room(root: Path) -> tuple[int, int]:
        return total, max(0, total - pool.taken())

    pool = DirectoryPool(root, SimulatedImages(), room=room, is_written=is_written, live=live, durable=False)
    return pool
