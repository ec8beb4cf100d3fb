"""Checks of servers against images, flavors and limits: values in, refusals out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pileus.core.errors import Forbidden
from pileus.resource.access import Access
from pileus.resource.declaration import Values
from pileus.services.compute.errors import BadRequest, QuotaError
from pileus.services.compute.rules.boot_files import AMAZON_DISK
from pileus.services.compute.rules.hardware import NotObeyed, read_hardware
from pileus.wire.hypervisor import DISK_FORMATS

GIB = 1 << 30


def image_fits(image: Values, flavor: Values | dict[str, Any]) -> None:
    """BadRequest unless a server of a flavor can begin from an image."""
    if image["status"] != "active":
        raise BadRequest(f"Image {image['id']} is not active.")
    if flavor["ram"] < (image["min_ram"] or 0):
        raise BadRequest("Flavor's memory is too small for requested image.")
    disk = flavor["disk"]
    if disk:
        size = max(image["size"] or 0, image.get("virtual_size") or 0)
        if size > disk * GIB:
            raise BadRequest(
                "Flavor's disk is too small for requested image. Flavor disk is "
                f"{disk * GIB} bytes, image is {size} bytes."
            )
        if disk < (image["min_disk"] or 0):
            raise BadRequest(
                "Flavor's disk is smaller than the minimum size specified in image metadata. Flavor disk is "
                f"{disk * GIB} bytes, minimum size is {image['min_disk'] * GIB} bytes."
            )


def hardware_of(image: Values, extra_specs: dict[str, str], vcpus: int) -> dict[str, Any]:
    """The hardware that an image and a flavor ask for; BadRequest for what a machine can't have."""
    try:
        return read_hardware(image["properties"], extra_specs, vcpus)
    except NotObeyed as refused:
        raise BadRequest(str(refused)) from None


def image_boots(image: Values, access: Access, flavor: Values, disk_config: str) -> None:
    """Refuse what a host would find out only when it makes the machine."""
    if image["disk_format"] not in (*DISK_FORMATS, AMAZON_DISK):
        raise BadRequest(
            f"Image {image['id']} is unacceptable: its disk format is {image['disk_format']}; servers begin "
            f"from {', '.join(DISK_FORMATS)} and {AMAZON_DISK}."
        )
    if disk_config == "AUTO" and str(image["properties"].get("auto_disk_config", "")).lower() == "disabled":
        raise BadRequest(f"Requested image {image['id']} has automatic disk resize disabled.")
    if not flavor["disk"] and not access.allows("os_compute_api:servers:create:zero_disk_flavor"):
        raise Forbidden("Only volume-backed servers are allowed for flavors with zero disk.")


def check_metadata(limits: dict[str, int], metadata: dict[str, str]) -> None:
    """QuotaError where there are more items than allowed."""
    most = limits["metadata_items"]
    if 0 <= most < len(metadata):
        raise QuotaError(
            f"Quota exceeded for metadata_items: Maximum number of metadata items exceeds {most}"
        )


def check_files(limits: dict[str, int], files: Sequence[dict[str, str]]) -> None:
    """QuotaError where personality files are too many or too large."""
    if 0 <= limits["injected_files"] < len(files):
        raise QuotaError("Maximum number of injected files exceeded")
    for one in files:
        if 0 <= limits["injected_file_path_bytes"] < len(one["path"].encode()):
            raise QuotaError("Maximum path length of an injected file exceeded")
        if 0 <= limits["injected_file_content_bytes"] < len(one["contents"]):
            raise QuotaError("Maximum content size of an injected file exceeded")
