"""The disks of new servers that are volumes: who may use what they begin from, and what each server gets.

A volume that is there is reserved by the request; others are made when the server has a host
(``chains/boot_volumes.py``). Sources: nova's checks of block device mappings, and their wording.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pileus.core.context import Context
from pileus.resource.access import Access
from pileus.resource.declaration import Values
from pileus.services.compute.api import at_least
from pileus.services.compute.errors import BadRequest, NotHereYet
from pileus.services.compute.rules.devices import own_names, target_names
from pileus.services.compute.servers.attached_volumes import CONNECTING
from pileus.services.compute.servers.block_device_mappings import (
    BLANK,
    IMAGE,
    SNAPSHOT,
    VOLUME,
    Device,
    bad_device,
)
from pileus.services.compute.servers.checks import GIB, image_fits
from pileus.services.compute.tables.servers import server_volumes
from pileus.services.compute.uses.image import image_usable
from pileus.services.compute.uses.volume import (
    IMAGE_FACTS,
    InvalidVolume,
    attachment_reserve,
    snapshots_usable,
    type_usable,
    volumes_usable,
)
from pileus.store.tx import Tx


class DeviceFacts(NamedTuple):
    """The sources of devices, as far as the caller may use them; types by the name that was asked for."""

    volumes: Mapping[str, Values] = {}
    snapshots: Mapping[str, Any] = {}
    images: Mapping[str, Values] = {}
    types: Mapping[str, str] = {}


def must_be_shareable(access: Access, volume: Mapping[str, Any]) -> None:
    """BadRequest for a volume that several servers may have, from a client that knows of none."""
    if volume["multiattach"] and access.version is not None and not at_least(access.version, "2.60"):
        raise BadRequest("Multiattach volumes are only supported starting with compute API version 2.60.")


def device_facts_read(tx: Tx, access: Access, devices: Sequence[Device]) -> DeviceFacts:
    """Read; volumes are held until the transaction ends."""
    volumes = [one for one in devices if not one.local]
    if not volumes:
        return DeviceFacts()
    project_id = access.context.project_id or ""
    # whoever owns an image writes any id into it: an administrator's rights are not his
    foreign = {one.key for one in volumes if one.of_image}
    existing = volumes_usable(tx, access, [one.key for one in volumes if one.source == VOLUME])
    snapshots = snapshots_usable(tx, access, [one.key for one in volumes if one.source == SNAPSHOT])
    images = {
        key: image
        for key in sorted({one.key for one in volumes if one.source == IMAGE})
        if (image := image_usable(tx, access, key)) is not None
    }
    for volume in existing.values():
        must_be_shareable(access, volume)
    types = {
        name: type_usable(tx, project_id, name)
        for name in sorted({one.volume_type for one in volumes if one.volume_type})
    }

    def may(key: str, owner: str | None, public: bool = False) -> bool:
        return key not in foreign or owner == project_id or public

    return DeviceFacts(
        {key: one for key, one in existing.items() if may(key, one["project_id"])},
        {key: one for key, one in snapshots.items() if may(key, one.project_id)},
        {key: one for key, one in images.items() if may(key, one["owner"], one["visibility"] == "public")},
        {name: type_id for name, type_id in types.items() if type_id is not None},
    )


def devices_decide(
    devices: Sequence[Device], facts: DeviceFacts, flavor: Values, hardware: Mapping[str, Any], servers: int
) -> list[dict[str, Any]]:
    """The volumes that each server is to have, as the boot's steps read them. Raises BadRequest."""
    if not devices:
        return []
    volumes = [one for one in devices if not one.local]
    _check_local([one for one in devices if one.local], flavor["OS-FLV-EXT-DATA:ephemeral"], flavor["swap"])
    if not volumes:
        return []
    if servers > 1 and any(one.source == VOLUME for one in volumes):
        raise BadRequest("Cannot attach one or more volumes to multiple instances")
    keys = [one.key for one in volumes if one.source == VOLUME]
    if len(set(keys)) < len(keys):
        raise bad_device("A volume is named twice.")
    bus = str(hardware.get("disk_bus", "virtio"))
    backed = any(one.boots for one in volumes)
    local = (not backed) + bool(flavor["OS-FLV-EXT-DATA:ephemeral"])
    names = target_names(
        [(one.bus or bus, one.boots) for one in volumes],
        own_names(bus, local, volume_backed=backed),
        own_bus=bus,
    )
    if names is None:
        raise bad_device("The machine has no place for so many disks.")
    return [_decided(one, facts, name) for one, name in zip(volumes, names, strict=True)]


def _check_local(devices: Sequence[Device], ephemeral_gib: int, swap_mib: int) -> None:
    """BadRequest for local disks that a flavor does not give; the one that it gives is made anyway."""
    empty = [one for one in devices if not one.swap]
    if sum(one.size or ephemeral_gib for one in empty) > ephemeral_gib:
        raise bad_device(
            "Ephemeral disks requested are larger than the instance type allows. If no size is given in one "
            "block device mapping, flavor ephemeral size will be used."
        )
    if any(one.size > swap_mib for one in devices if one.swap):
        raise bad_device("Swap drive requested is larger than instance type allows.")
    if len(empty) > 1 or any(one.size not in (0, ephemeral_gib) for one in empty):
        raise NotHereYet(what="An ephemeral disk that is not the flavor's whole")
    if any(one.size for one in devices if one.swap):
        raise NotHereYet(what="A disk for swap")


def _decided(device: Device, facts: DeviceFacts, target: str) -> dict[str, Any]:
    size = device.size
    if device.source == VOLUME and device.key not in facts.volumes:
        raise bad_device(f"failed to get volume {device.key}.")
    if device.source == IMAGE:
        if device.key not in facts.images:
            raise bad_device(f"failed to get image {device.key}.")
        image_fits_volume(facts.images[device.key], size)
    if device.source == SNAPSHOT:
        snapshot = facts.snapshots.get(device.key)
        if snapshot is None:
            raise bad_device(f"failed to get snapshot {device.key}.")
        if snapshot.status != "available":
            raise bad_device(f"the snapshot {device.key} is {snapshot.status}.")
        size = size or snapshot.size_gib
        if size < snapshot.size_gib:
            raise bad_device(f"a volume of {size} GiB can't hold the snapshot's {snapshot.size_gib} GiB.")
    if device.volume_type and device.volume_type not in facts.types:
        raise BadRequest(f"Volume type {device.volume_type} could not be found.")
    return {
        "source": device.source,
        "key": device.key,
        "size": size,
        "type_id": facts.types.get(device.volume_type or ""),
        "boot_index": device.boot_index,
        "target": target,
        "bus": device.bus,
        "tag": device.tag,
        "delete_on_termination": device.delete_on_termination,
    }


def image_fits_volume(image: Values, size_gib: int) -> None:
    """BadRequest unless an image fits onto a volume of a size."""
    if image["status"] != "active":
        raise BadRequest(f"Image {image['id']} is not active.")
    size = max(image["size"] or 0, image.get("virtual_size") or 0)
    if size > size_gib * GIB:
        raise BadRequest(
            f"The volume of the image {image['id']} is too small: it has {size_gib * GIB} bytes, the image "
            f"{size} bytes."
        )
    _min_disk(image["min_disk"] or 0, size_gib)


def _min_disk(min_disk: int, size_gib: int) -> None:
    if size_gib < min_disk:
        raise BadRequest(
            "Volume is smaller than the minimum size specified in image metadata. Volume size is "
            f"{size_gib * GIB} bytes, minimum size is {min_disk * GIB} bytes."
        )


def root_image(devices: Sequence[Device], facts: DeviceFacts, flavor: Values) -> Values | None:
    """An image that stands for the root volume: the properties of what it was made of. None without such a
    volume; BadRequest for one that can't be booted from."""
    root = next((one for one in devices if one.boots and not one.local), None)
    if root is None:
        return None
    if root.source == IMAGE:
        image = facts.images.get(root.key)
        if image is None:
            raise bad_device(f"failed to get image {root.key}.")
        image_fits(image, {**flavor, "disk": 0})
        return image
    if root.source == BLANK:
        raise bad_device("An empty volume can't be booted from.")
    volume = facts.volumes.get(root.key)
    if root.source == SNAPSHOT:
        snapshot = facts.snapshots.get(root.key)
        volume = snapshot.of if snapshot is not None else None
    if volume is None:
        raise bad_device(f"failed to get {root.source} {root.key}.")
    if not volume["bootable"]:
        raise BadRequest(f"Block Device {root.key} is not bootable.")
    known = volume["volume_image_metadata"] or {}
    image = Values(
        {
            "id": known.get("image_id", ""),
            "status": "active",
            "size": 0,
            "min_ram": _number(known.get("min_ram")),
            "min_disk": _number(known.get("min_disk")),
            "properties": {name: text for name, text in known.items() if name not in IMAGE_FACTS},
        }
    )
    image_fits(image, {**flavor, "disk": 0})
    _min_disk(image["min_disk"], max(volume["size"], root.size))
    return image


def _number(text: str | None) -> int:
    """A number of a volume's image metadata, which its owner may have written."""
    return int(text) if text is not None and text.isdigit() and len(text) < _LONGEST_NUMBER else 0


_LONGEST_NUMBER = 10


def devices_reserve(
    tx: Tx, context: Context, server_id: str, devices: Sequence[Mapping[str, Any]], facts: DeviceFacts
) -> None:
    """Reserve the volumes that are there already. Raises BadRequest for one that is not free."""
    rows = []
    for device in devices:
        if device["source"] == VOLUME:
            try:
                made = attachment_reserve(tx, context, facts.volumes[device["key"]], server_id)
            except InvalidVolume as refused:
                raise BadRequest(refused.text) from None
            rows.append(volume_row(context, server_id, device, made))
    tx.insert(server_volumes, rows)


def volume_row(
    context: Context, server_id: str, device: Mapping[str, Any], attachment: Mapping[str, Any]
) -> dict[str, Any]:
    """The row of a new server's volume."""
    return {
        "attachment_id": attachment["id"],
        "server_id": server_id,
        "volume_id": attachment["volume_id"],
        "target": device["target"],
        "bus": device["bus"],
        "boot_index": device["boot_index"],
        "tag": device["tag"],
        "delete_on_termination": device["delete_on_termination"],
        "state": CONNECTING,
        "created_at": context.now,
    }


def to_be_made(devices: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Those devices for which a volume is made."""
    return (one for one in devices if one["source"] != VOLUME)
