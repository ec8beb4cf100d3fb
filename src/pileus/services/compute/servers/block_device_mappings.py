"""Block device mappings of a request for servers: both forms are read as one, and refused in Nova's words.

Source: Compute API reference, "Create Server" (``block_device_mapping``, ``block_device_mapping_v2``). The
image on a local disk, as clients write it beside ``imageRef``, is no device of its own: it is where a server
begins that has no root volume.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from pileus.resource import types
from pileus.resource.types import BadValue, Type
from pileus.resource.versions import Version
from pileus.services.compute.api import at_least
from pileus.services.compute.errors import BadRequest

IMAGE, VOLUME, SNAPSHOT, BLANK = "image", "volume", "snapshot", "blank"
"""The sources of devices."""
BUSES = ("virtio", "scsi", "sata", "ide")
DEVICE_TYPES = ("disk",)
MOST_DEVICES = 24
_MOST_LOCAL = 3
_KNOWN_BUSES = ("fdc", "ide", "sata", "scsi", "usb", "virtio", "xen", "lxc", "uml", "none")
_ROOT = IMAGE, "local", 0
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


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A disk that a new server is to have beside its image's, or in its place (``boot_index`` 0).

    ``key``: the image, volume or snapshot that it begins from. ``size``: in GiB (of swap: MiB), 0 where
    it is not said. ``local``: on the server's host, else a volume.
    """

    source: str
    local: bool = False
    key: str = ""
    boot_index: int | None = None
    size: int = 0
    delete_on_termination: bool = False
    volume_type: str | None = None
    tag: str | None = None
    bus: str | None = None
    swap: bool = False
    of_image: bool = False
    """Whether an image names it, and not who asks for the server."""

    @property
    def boots(self) -> bool:
        """Whether it is the root disk."""
        return self.boot_index == 0


class Mappings(msgspec.Struct, frozen=True):
    """The disks that a request asks for: the image to begin from (empty: none), and the devices."""

    image_id: str
    devices: tuple[Device, ...] = ()


def read_mappings(server: dict[str, Any]) -> Mappings:
    """Read the mappings of a request. Raises BadRequest for what is malformed or makes no sense."""
    image_id = str(server.get("imageRef") or "")
    old, new = server.get("block_device_mapping") or [], server.get("block_device_mapping_v2") or []
    if old and new:
        raise BadRequest("Using different block_device_mapping syntaxes is not allowed in the same request.")
    if old:
        devices = _from_old(old, image_id)
    else:
        mappings = [one for one in new if not one.get("no_device")]
        for one in mappings:
            _check_form(one, image_id)
        images = [one["uuid"] for one in mappings if _place(one) == _ROOT]
        if any(key != image_id for key in images):
            raise bad_device("The image of the mapping is not the one to begin from.")
        devices = [_device(one) for one in mappings if _place(one) != _ROOT]
        check_order(devices, with_image=bool(images), image_id=image_id)
    _check_local(devices)
    if len(devices) > MOST_DEVICES:
        raise bad_device(f"A server has at most {MOST_DEVICES} disks of its own.")
    return Mappings(image_id, tuple(devices))


def bad_device(details: str) -> BadRequest:
    """The refusal of a mapping."""
    return BadRequest(f"Block Device Mapping is Invalid: {details}")


def _place(one: dict[str, Any]) -> tuple[str | None, str, int | None]:
    source = one.get("source_type")
    usual = "volume" if source in (VOLUME, SNAPSHOT) else "local"
    return source, one.get("destination_type") or usual, one.get("boot_index")


def _device(one: dict[str, Any]) -> Device:
    source, destination, boot_index = _place(one)
    return Device(
        source=str(source),
        local=destination == "local",
        key=str(one.get("uuid") or ""),
        boot_index=boot_index if boot_index is not None and boot_index >= 0 else None,
        size=int(one.get("volume_size") or 0),
        delete_on_termination=bool(one.get("delete_on_termination")),
        volume_type=one.get("volume_type") or None,
        tag=one.get("tag"),
        bus=one.get("disk_bus") or None,
        swap=destination == "local" and one.get("guest_format") == "swap",
    )


def _from_old(mappings: list[dict[str, Any]], image_id: str) -> list[Device]:
    """The form of old: where there is no image, the first of them that is not empty is booted from."""
    devices: list[Device] = []
    for one in mappings:
        if one.get("no_device"):
            continue
        name = str(one.get("virtual_name") or "")
        more: dict[str, Any]
        if name == "swap" or name.startswith("ephemeral"):
            more = {"source": BLANK, "local": True, "swap": name == "swap"}
        elif one.get("snapshot_id"):
            more = {"source": SNAPSHOT, "key": one["snapshot_id"]}
        elif one.get("volume_id"):
            more = {"source": VOLUME, "key": one["volume_id"]}
        else:
            raise BadRequest("Block Device Mapping is Invalid: Some required fields are missing")
        boots = not image_id and not more.get("local") and not any(one.boots for one in devices)
        devices.append(
            Device(
                **more,
                size=int(one.get("volume_size") or 0),
                delete_on_termination=bool(one.get("delete_on_termination")),
                boot_index=0 if boots else None,
            )
        )
    return devices


def _check_form(one: dict[str, Any], image_id: str) -> None:
    source, destination, boot_index = _place(one)
    if source is None:
        raise bad_device("Some required fields are missing")
    if source == BLANK and one.get("uuid"):
        raise bad_device("Invalid device UUID.")
    if source != BLANK and not one.get("uuid"):
        raise bad_device("Missing device UUID.")
    if destination == "local" and source == IMAGE and not (image_id and boot_index == 0):
        raise bad_device("Mapping image to local is not supported.")
    if destination == "local" and source in (VOLUME, SNAPSHOT):
        raise bad_device(f"Mapping {source} to local is not supported.")
    if one.get("volume_type") and destination == "local":
        raise bad_device("Specifying a volume_type with destination_type=local is not supported.")
    if one.get("volume_type") and source == VOLUME:
        raise bad_device("Specifying volume type to existing volume is not supported.")
    if source in (IMAGE, BLANK) and destination == "volume" and not one.get("volume_size"):
        raise bad_device(
            "Images with destination_type 'volume' need to have a non-zero size specified"
            if source == IMAGE
            else "Blank volumes (source: 'blank', dest: 'volume') need to have non-zero size"
        )
    if destination == "local" and source == BLANK and boot_index == 0:
        raise bad_device("An empty disk can't be booted from.")
    _check_hardware(one)


def _check_hardware(one: dict[str, Any]) -> None:
    """Refuse buses and kinds of devices that are nothing, or that no machine has here."""
    bus = one.get("disk_bus")
    if bus and bus not in _KNOWN_BUSES:
        raise bad_device(f"The provided disk bus {bus} is not valid.")
    if bus and bus not in BUSES:
        raise bad_device(f"The disk bus {bus} is not available in this cloud: {', '.join(BUSES)} are.")
    kind = one.get("device_type")
    if kind and kind not in DEVICE_TYPES:
        raise bad_device(f"The device type {kind} is not available in this cloud: disk is.")


def check_order(devices: Sequence[Device], *, with_image: bool = False, image_id: str = "") -> None:
    """Check the boot order: numbered from 0 on; the image of ``imageRef`` is first where nothing else is."""
    order = sorted(one.boot_index for one in devices if one.boot_index is not None)
    if with_image or (image_id and 0 not in order):
        order = sorted([0, *order])
    if devices and (order != list(range(len(order))) or not order):
        raise bad_device(
            "Boot sequence for the instance and image/block device mapping combination is not valid."
        )


def _check_local(devices: list[Device]) -> None:
    if sum(one.local for one in devices) > _MOST_LOCAL:
        raise bad_device("You specified more local devices than the limit allows")
    if sum(one.swap for one in devices) > 1:
        raise bad_device("More than one swap drive requested.")


_KEYS = {IMAGE: "image_id", VOLUME: "volume_id", SNAPSHOT: "snapshot_id"}


def devices_of_image(properties: Mapping[str, str]) -> list[Device]:
    """The devices that an image names which was made of a volume-backed server; its owner may have written
    anything there. Raises BadRequest for what can't be read."""
    text = properties.get("block_device_mapping")
    if not text:
        return []
    try:
        entries = msgspec.json.decode(text, type=list[dict[str, Any]])
        if str(properties.get("bdm_v2", "")).lower() not in ("true", "1"):
            parsed = OLD_TYPE.parse([_without_none(one) for one in entries])
            return [msgspec.structs.replace(one, of_image=True) for one in _from_old(parsed, "")]
        devices = []
        for one in entries:
            if one.get("no_device"):
                continue
            key = one.get(_KEYS.get(str(one.get("source_type")), "")) or one.get("uuid")
            asked = {name: one[name] for name in _OF_IMAGES if one.get(name) is not None}
            (form,) = _IN_IMAGES.parse([{**asked, **({"uuid": key} if key else {})}])
            _check_form(form, "")
            devices.append(msgspec.structs.replace(_device(form), of_image=True))
    except (msgspec.DecodeError, RecursionError, BadValue):
        raise bad_device("the mapping in the image's properties can't be read.") from None
    check_order(devices)
    return devices


def _without_none(one: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in one.items() if name in _OLD and value is not None}


_OF_IMAGES = (
    *("source_type", "destination_type", "boot_index", "volume_size", "delete_on_termination"),
    *("disk_bus", "device_type", "guest_format", "tag", "volume_type"),
)
_IN_IMAGES = types.list_of(
    types.dict_of({**_NEW, "tag": types.string(60), "volume_type": types.nullable(types.string(255))})
)
