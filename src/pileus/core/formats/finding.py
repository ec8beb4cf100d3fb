"""Find the format of a content, with the readers of all formats."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from pileus.core.formats import iso, qcow2, qed, vdi, vhd, vhdx, vmdk
from pileus.core.formats.reading import BadImage, Reader

RAW = "raw"


class _Format(Protocol):
    """The interface of a format's module."""

    def matches(self, reader: Reader) -> bool: ...

    def virtual_size(self, reader: Reader) -> int: ...


READERS: dict[str, _Format] = {
    "qcow2": qcow2,
    "vmdk": vmdk,
    "vdi": vdi,
    "vhd": vhd,
    "vhdx": vhdx,
    "iso": iso,
    "qed": qed,
}


class Finding(NamedTuple):
    """``format`` by Glance's names (``raw`` for what nobody knows), the size of the disk inside in bytes,
    and, where the content must not be used, why."""

    format: str
    virtual_size: int
    danger: str = ""


def inspect(reader: Reader) -> Finding:
    """Find the format of the content. Raises nothing of its own, whatever the bytes are."""
    found = [name for name, one in READERS.items() if one.matches(reader)]
    if not found:
        return Finding(RAW, reader.size)
    name = found[0]
    if len(found) > 1:
        return Finding(name, 0, f"it is {' and '.join(found)} at once")
    try:
        return Finding(name, READERS[name].virtual_size(reader))
    except BadImage as bad:
        return Finding(name, 0, str(bad))
