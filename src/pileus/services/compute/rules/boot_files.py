"""Kernels and ramdisks that are images of their own: direct kernel boot, as Amazon's images want it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

AMAZON_DISK = "ami"
AMAZON_FORMATS = frozenset({"ami", "aki", "ari"})
"""A file system without a boot loader, a kernel and a ramdisk: their bytes are taken as they are."""

BOOT_FILES = ("kernel_id", "ramdisk_id")


def kept_boot(hardware: Mapping[str, Any] | None) -> dict[str, Any]:
    """The part of a server's hardware that only its image decides, at the moment it was asked for."""
    return {name: value for name, value in (hardware or {}).items() if name in _KEPT}


_KEPT = frozenset({*BOOT_FILES, "kernel_arguments"})


def without_boot(hardware: Mapping[str, Any]) -> dict[str, Any]:
    """The rest of it."""
    return {name: value for name, value in hardware.items() if name not in _KEPT}
