"""VirtualBox's VDI. Source: VirtualBox's VDICore.h (little-endian)."""

from __future__ import annotations

from pileus.core.formats.reading import BadImage, Reader, disk_size

MAGIC = bytes.fromhex("7f10dabe")
_MAGIC_OFFSET = 0x40
_KINDS = {1: "dynamic", 2: "static"}


def matches(reader: Reader) -> bool:
    return reader.starts(MAGIC, _MAGIC_OFFSET)


def virtual_size(reader: Reader) -> int:
    """The disk's size in bytes; BadImage for what must not be used."""
    version, _, kind = reader.unpack("<III", 0x44, "header")
    if version != 0x00010001:
        raise BadImage(f"its version {version:#x} is not known")
    if kind not in _KINDS:
        raise BadImage("it is the difference to another image")
    (size,) = reader.unpack("<Q", 0x170, "header")
    return disk_size(size)
