"""qcow2, versions 2 and 3. Source: QEMU's docs/interop/qcow2.txt (numbers are big-endian).

A backing file or an external data file would make whoever opens the image read another file of the host.
"""

from __future__ import annotations

from pileus.core.formats.reading import BadImage, Reader, disk_size

MAGIC = b"QFI\xfb"

_CORRUPT = 1 << 1
_EXTERNAL_DATA = 1 << 2
_KNOWN = (1 << 0) | _CORRUPT | _EXTERNAL_DATA | (1 << 3) | (1 << 4)
"""Dirty, corrupt, external data file, compression type, extended L2 entries."""


def matches(reader: Reader) -> bool:
    return reader.starts(MAGIC)


def virtual_size(reader: Reader) -> int:
    """The disk's size in bytes; BadImage for what must not be used."""
    version, backing_offset, backing_size, cluster_bits, size = reader.unpack(">IQIIQ", 4, "header")
    if version not in (2, 3):
        raise BadImage(f"its version {version} is not known")
    if backing_offset or backing_size:
        raise BadImage("it has a backing file")
    if not 9 <= cluster_bits <= 21:
        raise BadImage("its cluster size is impossible")
    if version == 2:
        reader.bytes(0, 72, "header")
        return disk_size(size)
    (features,) = reader.unpack(">Q", 72, "header")
    if features & _EXTERNAL_DATA:
        raise BadImage("it has an external data file")
    if features & _CORRUPT:
        raise BadImage("it is marked as corrupt")
    if features & ~_KNOWN:
        raise BadImage(f"it has unknown incompatible features ({features & ~_KNOWN:#x})")
    (header_length,) = reader.unpack(">I", 100, "header")
    if not 104 <= header_length <= 1 << cluster_bits:
        raise BadImage("its header has an impossible length")
    return disk_size(size)
