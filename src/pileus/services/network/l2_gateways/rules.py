"""Decisions about L2 gateways, of values alone; and what is refused."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Row

from pileus.core.errors import Conflict, NotFound
from pileus.services.network.common.errors import InUse, InvalidInput
from pileus.services.network.l2_gateways.resource import NONE

VTEP, SSH = "vtep", "ssh"


class L2GatewayInUse(InUse):
    message = "L2 Gateway '{gateway_id}' still has active mappings with one or more neutron networks."


class L2GatewayConnectionExists(InUse):
    message = "The specified mapping '{mapping}' exists on network gateway '{gateway_id}'."


class L2GatewayDeviceNotFound(NotFound):
    message = "L2 Gateway Device {device_id} could not be found."


class L2GatewayPhysicalPortNotFound(NotFound):
    message = "Physical Port '{int_name}' in Physical switch '{device_name}' could not be found"


class L2GatewaySegmentationRequired(Conflict):
    message = "L2 gateway segmentation id must be consistent for all the interfaces"


class VxlanSegmentationIDNotFound(NotFound):
    message = "vxlan segmentation id not found for the network '{network_id}'"


class L2GatewayDuplicateSegmentationID(Conflict):
    message = "{reason}"


Place = tuple[str, str, int]
"""A device, an interface of it, and a VLAN there."""


def ports_of(devices: Sequence[Mapping[str, Any]]) -> list[Place]:
    """The ports of a gateway, each once for each VLAN; -1 where connections say it. All say it, or none."""
    several = [interface for device in devices for interface in device["interfaces"]]
    if len({bool(interface["segmentation_id"]) for interface in several}) > 1:
        raise L2GatewaySegmentationRequired
    found = [
        (device["device_name"], interface["name"], vlan)
        for device in devices
        for interface in device["interfaces"]
        for vlan in map(int, interface["segmentation_id"] or (NONE,))
    ]
    return list(dict.fromkeys(found))


def check_segmentation(segmentation_id: int, ports: Collection[Place]) -> None:
    """Refuse a VLAN that is said twice, or not at all."""
    said = any(vlan != NONE for _, _, vlan in ports)
    if segmentation_id not in (NONE, 0) and said:
        raise InvalidInput(
            "default segmentation_id should not be provided when segmentation_id is assigned during "
            "l2gateway creation"
        )
    if segmentation_id == NONE and not said:
        raise InvalidInput("Segmentation id must be specified in create l2gateway connections")


def places(ports: Collection[Place], segmentation_id: int) -> Iterator[Place]:
    """Where a connection's network is: the VLANs of the gateway, or the connection's own."""
    for device, interface, vlan in ports:
        yield device, interface, segmentation_id if vlan == NONE else vlan


def check_switch(network: Row[Any], place: Place, switches: Mapping[str, Row[Any]]) -> None:
    """Refuse a switch or a port that nobody drives, and a network that the switch can't carry there."""
    device, interface, vlan = place
    switch = switches.get(device)
    if switch is None:
        raise L2GatewayDeviceNotFound(device_id=device)
    if interface not in switch.ports:
        raise L2GatewayPhysicalPortNotFound(int_name=interface, device_name=device)
    if switch.kind == VTEP and network.network_type != "vxlan":
        raise VxlanSegmentationIDNotFound(network_id=network.id)
    if switch.kind == SSH:
        if network.network_type != "vlan":
            raise InvalidInput(f"network {network.id} is no VLAN, and {device} carries only those")
        if vlan not in (0, network.segmentation_id):
            raise InvalidInput(
                f"{device} does not translate VLANs: network {network.id} has "
                f"{network.segmentation_id}, not {vlan}"
            )
