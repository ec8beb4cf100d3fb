"""A storage pool as agents see it: volumes and snapshots by their ids, the verbs, and what they raise.

A pool keeps what it needs to know beside what it stores, so that a restart, or another agent that is given
the pool, finds everything. Verbs can be repeated: making what is there and deleting what is gone do nothing.
A verb that was interrupted has changed nothing that anybody sees, and is done by being done again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, Protocol

import msgspec

VolumeFormat = Literal["raw", "qcow2"]
SOURCE_FORMATS = ("raw", "qcow2", "vmdk")
"""Formats of files that a volume can be made from."""


class PoolFailed(Exception):
    """The pool refused or failed; ``verb`` is what was asked of it, the text its reason."""

    def __init__(self, verb: str, reason: str) -> None:
        self.verb = verb
        self.reason = reason
        super().__init__(f"{verb}: {reason}")


class PoolUnavailable(PoolFailed):
    """The pool is not there now: its folder, its volume group, its cluster."""


class PoolFull(PoolFailed):
    """There is no room for it."""


class StoredMissing(PoolFailed):
    """There is no such volume or snapshot in the pool."""


class StoredInUse(PoolFailed):
    """Somebody has the volume open for writing, and only that program may do it now."""


class BadSource(PoolFailed):
    """A file that no volume is made of: it refers to others, or is not what it is said to be."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A volume to be made. ``size`` in bytes; ``thick``: all its room is taken at once."""

    volume_id: str
    size: int
    thick: bool = False
    format: VolumeFormat = "qcow2"
    """Of pools that know several."""


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A volume in the pool. ``size``: what a guest sees; ``used``: room that is its own; in bytes.
    ``snapshots``: its snapshots, with the sizes that it had when they were taken."""

    volume_id: str
    size: int
    used: int = 0
    thick: bool = False
    snapshots: dict[str, int] = {}


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """The volume, or the snapshot of it, that another volume begins as."""

    volume_id: str
    snapshot_id: str | None = None


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where programs of this host open a volume. ``block``: a device and no file."""

    path: Path
    format: VolumeFormat
    block: bool = False


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Room of a pool in bytes. ``provisioned``: what guests see of all volumes together."""

    total: int
    free: int
    provisioned: int = 0


class Contents(msgspec.Struct, frozen=True):
    """Everything in a pool. ``strange``: names of things in it that are none of ours, or that nobody can
    make sense of; nothing touches them."""

    volumes: dict[str, Stored] = {}
    strange: tuple[str, ...] = ()


class Live(Protocol):
    """The hypervisor of this host, for volumes that a machine of its own has open as files."""

    async def resize_file(self, path: Path, size: int) -> bool:
        """Let whoever has a file open make it larger, and tell the guest; False where nobody here has."""

    async def move_to_overlays(self, moves: Mapping[Path, Path]) -> set[Path]:
        """Let whoever has files open write, each to a qcow2 that lies on it, from now on: all files of one
        machine at one moment. Those that somebody here had."""


class Pool(Protocol):
    """One pool. All verbs raise PoolFailed or one of its kinds."""

    async def open(self) -> None:
        """Find the pool, and make what it lacks to be one of ours. Raises PoolUnavailable."""

    async def contents(self) -> Contents:
        """All volumes and snapshots, in one reading."""

    async def usage(self) -> Usage: ...

    async def create(self, wanted: Wanted) -> Stored:
        """Make an empty volume."""

    async def create_from_file(self, wanted: Wanted, file: Path, format: str) -> Stored:
        """Make a volume of a file's content, which is judged before anything opens it. Raises BadSource."""

    async def clone(self, wanted: Wanted, source: Source) -> Stored:
        """Make a volume that begins as ``source``, which goes on as it was. Nothing is copied where the pool
        can do without. Raises StoredInUse where the volume itself is the source and somebody writes to it."""

    async def snapshot(self, volume_id: str, snapshot_id: str) -> None:
        """Keep a volume as it is now, as after a loss of power where a machine of this host writes to it.
        Raises StoredInUse where another program does."""

    async def snapshot_all(self, snapshots: Mapping[str, str]) -> None:
        """Keep several volumes as they are at one moment: snapshots by their volumes. Raises as ``snapshot``,
        and has made none of them then."""

    async def revert(self, volume_id: str, snapshot_id: str) -> Stored:
        """Make a volume as it was; its size stays. Raises StoredInUse."""

    async def rewrite(self, volume_id: str, file: Path, format: str) -> Stored:
        """Put a file's content in the place of a volume's, whose snapshots stay. Raises BadSource and
        StoredInUse."""

    async def restore(self, volume_id: str, file: Path) -> Stored:
        """As ``rewrite``, with the bytes of a disk of ours: whatever a guest has written into them."""

    async def extend(self, volume_id: str, size: int) -> Stored:
        """Make it larger, or note that whoever has it open has. Smaller is refused. Raises StoredInUse."""

    async def delete(self, volume_id: str) -> None:
        """Nothing of it is left, nor of its snapshots. Raises StoredInUse."""

    async def delete_snapshot(self, volume_id: str, snapshot_id: str) -> None: ...

    async def place(self, volume_id: str) -> Place:
        """Where it is to be opened for reading and writing."""

    async def copy_out(
        self, source: Source, file: Path, format: Literal["raw", "qcow2"], *, compress: bool = False
    ) -> None:
        """Write the content as a file that lies on no other. Raises StoredInUse as ``clone``."""

    async def tidy(self, may_open: Callable[[str], bool] = lambda volume_id: False) -> int:
        """Give back room that nothing needs any more; how many things. Nothing is touched that somebody has
        open, or that belongs to a volume of which ``may_open`` says that somebody may open it any moment.
        """


def room_left(usage: Usage, *, ratio: float, reserved_percent: int) -> tuple[int, int]:
    """The bytes that a new volume may take: of thick ones, and of thin ones (by what guests see of all).

    ``ratio``: how many times the room may be promised; ``reserved_percent``: of the whole that nobody gets.
    """
    reserve = usage.total * reserved_percent // 100
    thick = max(0, usage.free - reserve)
    if ratio <= 1:
        return thick, max(0, min(thick, usage.total - reserve - usage.provisioned))
    return thick, max(0, min(int(thick * ratio), int((usage.total - reserve) * ratio) - usage.provisioned))
