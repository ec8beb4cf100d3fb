"""Whether a caller may boot the kernel and ramdisk that an image names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.resource.access import Access
from pileus.services.compute.errors import BadRequest
from pileus.services.compute.rules.boot_files import BOOT_FILES
from pileus.services.compute.uses.image import image_usable
from pileus.store.tx import Tx


def must_have_boot_files(tx: Tx, access: Access, hardware: Mapping[str, Any], memory_mib: int) -> None:
    """BadRequest unless the caller himself may use them: whoever owns an image writes any id into it.

    They have to fit into the server's memory, where they are put; its host has a copy of them beside its
    disks, which is counted nowhere.
    """
    size = 0
    for name in BOOT_FILES:
        image_id = hardware.get(name)
        if image_id is None:
            continue
        image = image_usable(tx, access, image_id)
        if image is None:
            raise BadRequest(f"Image {image_id} could not be found.")
        if image["status"] != "active":
            raise BadRequest(f"Image {image_id} is not active.")
        size += image["size"] or 0
    if size > memory_mib << 20:
        raise BadRequest(
            f"The kernel and ramdisk have {size} bytes together, and the flavor's memory is {memory_mib} MiB."
        )
