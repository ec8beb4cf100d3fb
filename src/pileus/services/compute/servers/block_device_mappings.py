"""Block device mappings of a request for servers: the forms, and what of them is there.

Source: Compute API reference, "Create Server" (``block_device_mapping``, ``block_device_mapping_v2``). The
one mapping that is no volume is the image on a local disk, as clients write it beside ``imageRef``;
everything else that is well formed is not here yet, everything that is not is refused first.
"""

from __future__ import annotations

from typing import Any

from pileus.resource import types
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.compute.api import at_least
from pileus.services.compute.errors import BadRequest, NotHereYet

_ROOT = "image", "local", 0

_BOOT_INDEX = types.nullable(types.integer())
_SHORT = types.nullable(types.string(255))
_OLD: dict[str, Type] = {
    "virtual_name": types.string(255),
    "volume_id": types.uuid,
    "snapshot_id": types.uuid,
    "volume_size": types.nullable(types.one_of(types.enum(""), types.integer(0))),
    "device_name": types.nullable(types.string(255, minimum=1, pattern=r"[a-zA-Z0-9._/-]*")),
    "delete_on_termination": types.boolean,
    "no_device": types.anything,
    "connection_info": types.string(16777215),
}
_NEW: dict[str, Type] = {
    **_OLD,
    "source_type": types.enum("volume", "image", "snapshot", "blank"),
    "uuid": types.string(255, minimum=1, pattern=r"[a-zA-Z0-9._-]*"),
    "image_id": types.uuid,
    "destination_type": types.enum("local", "volume"),
    "guest_format": _SHORT,
    "device_type": _SHORT,
    "disk_bus": _SHORT,
    "boot_index": _BOOT_INDEX,
}

OLD_TYPE = types.list_of(types.dict_of(_OLD))


def new_type(version: Version) -> Type:
    """``block_device_mapping_v2`` of a microversion."""
    fields = dict(_NEW)
    if at_least(version, "2.42") or version.minor == 32:
        fields["tag"] = types.string(60, minimum=1, pattern=r"[^,/]*")
    if at_least(version, "2.67"):
        fields["volume_type"] = types.nullable(types.string(255))
    return types.list_of(types.dict_of(fields))


def check_mappings(server: dict[str, Any]) -> str:
    """Refuse mappings that are malformed (BadRequest), then those that are not here yet (NotHereYet).

    Returns the image to begin from, empty where none is named.
    """
    image_id = str(server.get("imageRef") or "")
    old, new = server.get("block_device_mapping") or [], server.get("block_device_mapping_v2") or []
    if old and new:
        raise BadRequest("Using different block_device_mapping syntaxes is not allowed in the same request.")
    mappings = [one for one in new if not one.get("no_device")]
    for one in mappings:
        _check_form(one, image_id)
    if mappings:
        _check_order(mappings, image_id)
    if [one for one in old if not one.get("no_device")] or any(_place(one) != _ROOT for one in mappings):
        raise NotHereYet(what="A server that is made with volumes")
    if any(one["uuid"] != image_id for one in mappings):
        raise _bad("The image of the mapping is not the one to begin from.")
    return image_id


def _bad(details: str) -> BadRequest:
    return BadRequest(f"Block Device Mapping is Invalid: {details}")


def _place(one: dict[str, Any]) -> tuple[str | None, str | None, int | None]:
    return one.get("source_type"), one.get("destination_type", "local"), one.get("boot_index")


def _check_form(one: dict[str, Any], image_id: str) -> None:
    source, destination, boot_index = _place(one)
    if source is None:
        raise _bad("Some required fields are missing")
    if source == "blank" and one.get("uuid"):
        raise _bad("Invalid device UUID.")
    if source != "blank" and not one.get("uuid"):
        raise _bad("Missing device UUID.")
    if source == "image" and destination == "local" and not (image_id and boot_index == 0):
        raise _bad("Mapping image to local is not supported.")
    if one.get("volume_type") and destination == "local":
        raise _bad("Specifying a volume_type with destination_type=local is not supported.")
    if one.get("volume_type") and source == "volume":
        raise _bad("Specifying volume type to existing volume is not supported.")
    if source in ("image", "blank") and destination == "volume" and not one.get("volume_size"):
        raise _bad(
            "Images with destination_type 'volume' need to have a non-zero size specified"
            if source == "image"
            else "Blank volumes (source: 'blank', dest: 'volume') need to have non-zero size"
        )


def _check_order(mappings: list[dict[str, Any]], image_id: str) -> None:
    """Check the boot order: numbered from 0 on; the image of ``imageRef`` is first where nothing else is."""
    order = sorted(index for one in mappings if (index := one.get("boot_index")) is not None and index >= 0)
    if image_id and 0 not in order:
        order.insert(0, 0)
    if order != list(range(len(order))) or not order:
        raise _bad("Boot sequence for the instance and image/block device mapping combination is not valid.")
