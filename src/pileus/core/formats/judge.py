"""Check a content against the formats that its image declares."""

from __future__ import annotations

from pileus.core.errors import Fault, Kind
from pileus.core.formats.finding import RAW, READERS, Finding

FORMATS = ("ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "ploop", "iso")
"""The disk formats that an image may have, as in Glance."""


class ImageDataRefused(Fault):
    """The content is dangerous, or is not what the image says (415, as in Glance)."""

    kind = Kind.UNSUPPORTED_MEDIA


def judge(disk_format: str, container_format: str, found: Finding, *, require_match: bool) -> int:
    """The size in bytes of the disk in this content; raises ImageDataRefused.

    A dangerous content is refused whatever it is called, and so is a known format under another one's name:
    a raw disk that begins like a qcow2 would be opened as one by whatever guesses. Content that is no known
    format may be called anything that has no reader; called ``qcow2`` it is refused too where
    ``require_match`` says so. In a container other than ``bare`` the content is the container's.
    """
    if found.danger:
        raise ImageDataRefused(f"Image content is refused: as {found.format}, {found.danger}.")
    if found.format == disk_format:
        return found.virtual_size
    inspected = disk_format in READERS
    if found.format != RAW or (inspected and require_match and container_format == "bare"):
        raise ImageDataRefused(
            f"Image content does not match the disk_format: it is declared as {disk_format} "
            f"and was found to be {found.format}."
        )
    return found.virtual_size
