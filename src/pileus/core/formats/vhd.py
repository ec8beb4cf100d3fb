"""VHD, dynamic and fixed. Source: Microsoft's "Virtual Hard Disk Image Format Specification" (big-endian).

A dynamic disk has a copy of the footer at its start; a fixed one is the raw disk with the footer behind it.
"""

from __future__ import annotations

from pileus.core.formats.reading import BadImage, Reader, disk_size

MAGIC = b"conectix"
_FOOTER = 512
_FIXED, _DYNAMIC = 2, 3


def matches(reader: Reader) -> bool:
    return reader.starts(MAGIC) or reader.starts(MAGIC, -_FOOTER)


def virtual_size(reader: Reader) -> int:
    """The disk's size in bytes; BadImage for what must not be used."""
    at_start = reader.starts(MAGIC)
    base = 0 if at_start else reader.size - _FOOTER
    (data_offset,) = reader.unpack(">Q", base + 16, "footer")
    (size,) = reader.unpack(">Q", base + 48, "footer")
    (kind,) = reader.unpack(">I", base + 60, "footer")
    if kind not in (_FIXED, _DYNAMIC):
        raise BadImage("it is the difference to another image")
    if (kind == _DYNAMIC) is not at_start:
        raise BadImage("its footer is not where its type has it")
    if kind == _DYNAMIC and not reader.starts(b"cxsparse", data_offset):
        raise BadImage("its dynamic header is missing")
    if kind == _FIXED and size > reader.size - _FOOTER:
        raise BadImage("it is shorter than the disk that it holds")
    return disk_size(size)
