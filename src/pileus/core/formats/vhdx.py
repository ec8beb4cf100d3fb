"""VHDX. Source: [MS-VHDX], sections 2.2 and 2.6 (little-endian).

The size of the disk and whether it has a parent stand in a metadata region that a region table points to.
"""

from __future__ import annotations

import uuid

from pileus.core.formats.reading import BadImage, Reader, disk_size

MAGIC = b"vhdxfile"
REGION_TABLES = (192 << 10, 256 << 10)
METADATA_REGION = uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e").bytes_le
FILE_PARAMETERS = uuid.UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b").bytes_le
DISK_SIZE = uuid.UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8").bytes_le
PARENT_LOCATOR = uuid.UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c").bytes_le

_MOST_ENTRIES = 2047
_HAS_PARENT = 1 << 1


def matches(reader: Reader) -> bool:
    return reader.starts(MAGIC)


def virtual_size(reader: Reader) -> int:
    """The disk's size in bytes; BadImage for what must not be used."""
    metadata = _metadata_offset(reader)
    if not reader.starts(b"metadata", metadata):
        raise BadImage("its metadata table is missing")
    (count,) = reader.unpack("<H", metadata + 10, "metadata table")
    if count > _MOST_ENTRIES:
        raise BadImage("its metadata table is too long")
    table = reader.bytes(metadata + 32, count * 32, "metadata table")
    items = {}
    for start in range(0, len(table), 32):
        key = table[start : start + 16]
        if key in items:
            raise BadImage("its metadata table has an entry twice")
        items[key] = int.from_bytes(table[start + 16 : start + 20], "little")
    if PARENT_LOCATOR in items:
        raise BadImage("it is the difference to another image")
    if FILE_PARAMETERS not in items or DISK_SIZE not in items:
        raise BadImage("its metadata lacks the size of the disk")
    _, flags = reader.unpack("<II", metadata + items[FILE_PARAMETERS], "metadata")
    if flags & _HAS_PARENT:
        raise BadImage("it is the difference to another image")
    (size,) = reader.unpack("<Q", metadata + items[DISK_SIZE], "metadata")
    return disk_size(size)


def _metadata_offset(reader: Reader) -> int:
    for base in REGION_TABLES:
        if not reader.starts(b"regi", base):
            continue
        (count,) = reader.unpack("<I", base + 8, "region table")
        if count > _MOST_ENTRIES:
            raise BadImage("its region table is too long")
        table = reader.bytes(base + 16, count * 32, "region table")
        for start in range(0, len(table), 32):
            if table[start : start + 16] == METADATA_REGION:
                return int.from_bytes(table[start + 16 : start + 24], "little")
    raise BadImage("its metadata region is missing")
