"""The verbs of disk images, and the facts about one."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Literal, Protocol

import msgspec

ImageFormat = Literal["qcow2", "raw", "vmdk", "vdi", "vhdx", "vpc", "qed"]
Preallocation = Literal["off", "falloc"]
"""Whether an image takes all its room at once."""


class ImageFailed(Exception):
    """qemu-img refused or failed; ``verb`` is what was asked of it, the text its reason."""

    def __init__(self, verb: str, reason: str) -> None:
        self.verb = verb
        self.reason = reason
        super().__init__(f"{verb}: {reason}")


QCOW2_HEADER_BYTES = 80
"""As much of a qcow2 as tells whether its content is in another file."""

_QCOW2_MAGIC, _EXTERNAL_DATA_FILE = b"QFI\xfb", 1 << 2
_QCOW2_CLUSTER_BITS = 16
_QCOW2_CLUSTER = 1 << _QCOW2_CLUSTER_BITS
_HEADER_BYTES = 104
_BACKING_FORMAT = 0xE2792ACA
"""The header extension that says it."""
_LONGEST_BACKING = 1023


def has_data_file(header: bytes) -> bool:
    """Whether a qcow2 with these first bytes says that its content is in another file.

    Source: QEMU's docs/interop/qcow2.txt, "Header", incompatible features, bit 2 (version 3 and later).
    """
    if len(header) < QCOW2_HEADER_BYTES or header[:4] != _QCOW2_MAGIC:
        return False
    (version,), (features,) = struct.unpack_from(">I", header, 4), struct.unpack_from(">Q", header, 72)
    return version >= 3 and bool(features & _EXTERNAL_DATA_FILE)


def empty_qcow2(size: int, backing: str = "", backing_format: str = "") -> bytes:
    """The bytes of a qcow2 of ``size`` bytes in which nothing was ever written: a few clusters of tables.

    With ``backing`` it shows what that file holds, whose format has to be told, too.
    Source: QEMU's docs/interop/qcow2.txt, version 3.
    """
    mappings = max(1, -(-size // (_QCOW2_CLUSTER * _QCOW2_CLUSTER // 8)))
    mapping_clusters = -(-mappings * 8 // _QCOW2_CLUSTER)
    extensions, name = b"", backing.encode()
    if backing:
        said = backing_format.encode()
        extensions = struct.pack(">II", _BACKING_FORMAT, len(said)) + said + bytes(-len(said) % 8)
    extensions += struct.pack(">II", 0, 0)
    if len(name) > _LONGEST_BACKING:
        raise ValueError(f"a path of {len(name)} bytes is too long for a backing file")
    header = struct.pack(
        ">4sIQIIQIIQQIIQQQQII",
        _QCOW2_MAGIC,
        3,
        _HEADER_BYTES + len(extensions) if backing else 0,
        len(name),
        _QCOW2_CLUSTER_BITS,
        size,
        0,  # not encrypted
        mappings,
        3 * _QCOW2_CLUSTER,  # the table of mappings
        1 * _QCOW2_CLUSTER,  # the table of reference counts
        1,
        0,  # no snapshots
        0,
        0,  # features
        0,
        0,
        4,  # reference counts of 16 bits
        _HEADER_BYTES,
    )
    clusters = 3 + mapping_clusters
    content = bytearray(clusters * _QCOW2_CLUSTER)
    begin = header + extensions + name
    content[: len(begin)] = begin
    struct.pack_into(">Q", content, _QCOW2_CLUSTER, 2 * _QCOW2_CLUSTER)
    struct.pack_into(f">{clusters}H", content, 2 * _QCOW2_CLUSTER, *([1] * clusters))
    return bytes(content)


def qcow2_size(header: bytes) -> int | None:
    """Bytes that a guest sees of a qcow2 with these first bytes; None for anything else."""
    if len(header) < QCOW2_HEADER_BYTES or header[:4] != _QCOW2_MAGIC:
        return None
    (size,) = struct.unpack_from(">Q", header, 24)
    return int(size)


class ImageInfo(msgspec.Struct, frozen=True):
    """An image. ``size``: what a guest sees, ``used``: what the file takes; both in bytes."""

    path: str
    format: str
    size: int
    used: int
    backing: str | None = None
    """As the image has it, which may be relative to it."""
    backing_format: str | None = None
    data_file: str | None = None
    """An external data file of a qcow2."""


class ImageCheck(msgspec.Struct, frozen=True):
    """The result of checking a qcow2; ``errors`` includes corruptions, leaks only waste space."""

    errors: int
    leaks: int

    @property
    def sound(self) -> bool:
        """Whether it may be used."""
        return self.errors == 0


class Images(Protocol):
    """Disk images in files or on block devices. Formats are always said, never guessed: the content is
    a guest's, which may make it look like any other. All verbs raise ImageFailed."""

    async def create(
        self, path: Path, format: ImageFormat, size: int, *, preallocation: Preallocation = "off"
    ) -> None:
        """An empty image of ``size`` bytes. One that is there is written over."""

    async def create_overlay(
        self, path: Path, backing: Path, backing_format: ImageFormat, size: int | None = None
    ) -> None:
        """A qcow2 that holds what differs from ``backing``; ``size`` None: as large as that."""

    async def info(self, path: Path, format: ImageFormat) -> ImageInfo:
        """Facts of an image, which may be in use by a running machine."""

    async def convert(
        self,
        source: Path,
        source_format: ImageFormat,
        target: Path,
        target_format: ImageFormat,
        *,
        compress: bool = False,
    ) -> None:
        """Write an image's content, with all that is below an overlay, as another image. The target
        appears when it is whole."""

    async def fill(
        self,
        source: Path,
        source_format: ImageFormat,
        target: Path,
        target_format: ImageFormat,
        *,
        compress: bool = False,
    ) -> None:
        """Write an image's content into an empty image that is there and is at least as large."""

    async def resize(
        self, path: Path, format: ImageFormat, size: int, *, preallocation: Preallocation = "off"
    ) -> None:
        """Make it larger. Smaller is refused: it would cut off what a guest wrote."""

    async def rebase(
        self, path: Path, backing: Path | None, backing_format: ImageFormat | None, *, safe: bool = True
    ) -> None:
        """Put a qcow2 on another backing file (None: on none, taking the old one's content in). Safe: what
        differs between the two is written into it; else they are taken to have the same content."""

    async def check(self, path: Path, format: ImageFormat = "qcow2") -> ImageCheck:
        """Whether a qcow2's tables are consistent; it must not be in use."""


def backing_name(backing: Path) -> str:
    """The name by which an overlay knows its base: the whole path, so that moving the overlay breaks
    nothing."""
    return str(backing.absolute())
