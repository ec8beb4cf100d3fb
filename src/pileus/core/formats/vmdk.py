"""VMDK, monolithicSparse and streamOptimized. Source: VMware's "Virtual Disk Format 5.0" (little-endian).

The text descriptor inside names the extents, and whoever opens the image opens these files. Only an image
whose one extent is itself is taken. In a stream-optimised one a footer near the end counts in place of the
header, so both have to say the same.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from pileus.core.formats.reading import BadImage, Reader, disk_size

MAGIC = b"KDMV"
_TEXT = b"# Disk DescriptorFile"
_SECTOR = 512
_AT_END = 2**64 - 1
_TYPES = ("monolithicSparse", "streamOptimized")
_LARGEST_DESCRIPTOR = 128  # sectors

_EXTENT = re.compile(r'^\s*(?:RW|RDONLY|NOACCESS)\s+(\d+)\s+(\w+)(?:\s+"([^"]*)")?')


class _Header(NamedTuple):
    version: int
    flags: int
    capacity: int
    grain: int
    descriptor_offset: int
    descriptor_size: int
    gtes: int
    rgd_offset: int
    gd_offset: int


def matches(reader: Reader) -> bool:
    return reader.starts(MAGIC) or reader.starts(_TEXT)


def virtual_size(reader: Reader) -> int:
    """The disk's size in bytes; BadImage for what must not be used."""
    if reader.starts(_TEXT):
        raise BadImage("it is a bare descriptor of other files")
    header = _header(reader, 0)
    if header.version not in (1, 2, 3):
        raise BadImage(f"its version {header.version} is not known")
    if not header.capacity:
        # QEMU then takes the descriptor's word for where the extents are
        raise BadImage("it claims no capacity")
    if not header.descriptor_offset or not 0 < header.descriptor_size <= _LARGEST_DESCRIPTOR:
        raise BadImage("it has no descriptor inside")
    if header.gd_offset == _AT_END:
        _check_footer(reader, header)
    text = reader.bytes(
        header.descriptor_offset * _SECTOR, header.descriptor_size * _SECTOR, "descriptor"
    ).split(b"\0", 1)[0]
    _check_descriptor(text.decode("latin-1"))
    return disk_size(header.capacity * _SECTOR)


def _header(reader: Reader, offset: int) -> _Header:
    return _Header(*reader.unpack("<IIQQQQIQQ", offset + 4, "header"))


def _check_footer(reader: Reader, header: _Header) -> None:
    """The footer stands before the end-of-stream marker, a sector each, and repeats the header."""
    offset = reader.size - 2 * _SECTOR
    if not reader.starts(MAGIC, offset):
        raise BadImage("its footer is missing")
    footer = _header(reader, offset)
    if footer._replace(gd_offset=0) != header._replace(gd_offset=0) or footer.gd_offset == _AT_END:
        raise BadImage("its footer differs from its header")


def _check_descriptor(text: str) -> None:
    kind = parent = None
    extents = []
    for line in text.splitlines():
        extent = _EXTENT.match(line)
        if extent is not None:
            extents.append(extent)
            continue
        name, value = _setting(line)
        if name == "createtype":
            if kind is not None:
                raise BadImage("its descriptor names two types")
            kind = value
        elif name == "parentcid":
            parent = value.lower()
        elif name == "parentfilenamehint":
            raise BadImage("it has a backing file")
    if kind not in _TYPES:
        raise BadImage(f"its type {kind!r} is not one of {', '.join(_TYPES)}")
    if parent not in (None, "ffffffff"):
        raise BadImage("it has a backing file")
    if len(extents) != 1:
        raise BadImage(f"it has {len(extents)} extents")
    name = extents[0][3] or ""
    if extents[0][2].upper() != "SPARSE" or not name or re.search(r"[/\\:\0]|^\.\.?$", name):
        raise BadImage("its extent is another file")


def _setting(line: str) -> tuple[str, str]:
    """The name, in small letters, and the value of a line ``name = "value"``; of any other, nothing useful.

    By hand: an expression with white space on both sides of optional quotes takes cubic time.
    """
    name, _, value = line.partition("=")
    return name.strip().lower(), value.strip().removeprefix('"').removesuffix('"')
