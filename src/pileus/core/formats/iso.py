"""ISO 9660. Source: ECMA-119, sections 6.2 and 8.4: volume descriptors from sector 16 on."""

from __future__ import annotations

from pileus.core.formats.reading import Reader, disk_size

MAGIC = b"CD001"
_DESCRIPTOR = 32768


def matches(reader: Reader) -> bool:
    return reader.starts(MAGIC, _DESCRIPTOR + 1)


def virtual_size(reader: Reader) -> int:
    """The volume's size in bytes."""
    (blocks,) = reader.unpack("<I", _DESCRIPTOR + 80, "volume descriptor")
    (block_size,) = reader.unpack("<H", _DESCRIPTOR + 128, "volume descriptor")
    return disk_size(blocks * block_size)
