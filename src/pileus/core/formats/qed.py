"""QED, QEMU's abandoned format: known so that it is refused, since it may have a backing file."""

from __future__ import annotations

from pileus.core.formats.reading import BadImage, Reader

MAGIC = b"QED\0"


def matches(reader: Reader) -> bool:
    return reader.starts(MAGIC)


def virtual_size(reader: Reader) -> int:
    raise BadImage("the format is not taken")
