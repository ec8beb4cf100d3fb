"""Where the image of a rescue hangs in the machine, as its properties say. Pure.

Source: Nova's guide "Rescue an instance" (``hw_rescue_device``, ``hw_rescue_bus``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

DEVICES = ("disk", "cdrom")
BUSES = ("virtio", "scsi", "sata", "ide")


class BadRescue(ValueError):
    """The image asks for hardware that no machine here has."""


class RescueHardware(NamedTuple):
    """``stable``: the machine's own disks keep their places, and the image comes after them."""

    stable: bool
    device: str
    bus: str


def rescue_hardware(properties: Mapping[str, str]) -> RescueHardware:
    """Read what the properties of an image ask for; raises BadRescue."""
    device, bus = properties.get("hw_rescue_device", ""), properties.get("hw_rescue_bus", "")
    if device and device not in DEVICES:
        raise BadRescue(f"hw_rescue_device {device} is none of {', '.join(DEVICES)}")
    if bus and bus not in BUSES:
        raise BadRescue(f"hw_rescue_bus {bus} is none of {', '.join(BUSES)}")
    if device == "cdrom" and bus == "virtio":
        raise BadRescue("there is no cdrom on the bus virtio")
    if device == "cdrom" and not bus:
        bus = "sata"
    return RescueHardware(bool(device or bus), device or "disk", bus)
