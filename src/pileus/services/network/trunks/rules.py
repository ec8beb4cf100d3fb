"""Rules of trunks: the ports that may be in one, and the state that follows from theirs. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pileus.core.errors import Conflict
from pileus.services.network.common.errors import InUse, InvalidInput
from pileus.services.network.trunks.resource import INHERIT, VLAN

_VLANS = range(1, 4095)
SUBPORT_OWNER = "trunk:subport"
DOWN, BUILD, ACTIVE, DEGRADED = "DOWN", "BUILD", "ACTIVE", "DEGRADED"


class TrunkPortInUse(InUse):
    message = "Port {port_id} is in use by another trunk."


class ParentPortInUse(InUse):
    message = "Port {port_id} is currently in use and is not eligible for use as a parent port."


class DuplicateSubPort(InUse):
    message = (
        "segmentation_type {segmentation_type} and segmentation_id {segmentation_id} "
        "already in use on trunk {trunk_id}."
    )


class SubPortMtuGreaterThanTrunkPortMtu(Conflict):
    message = (
        "MTU {port_mtu} of subport {port_id} cannot be greater than MTU {trunk_mtu} of trunk {trunk_id}."
    )


class TrunkDisabled(Conflict):
    message = "Trunk {trunk_id} is currently disabled."


class PortInUse(InUse):
    message = (
        "Unable to complete operation on port {port_id} for network {net_id}. "
        "Port already has an attached device {device_id}."
    )


def check_manageable(trunk: Mapping[str, Any]) -> None:
    """TrunkDisabled where an administrator or owner has switched the trunk off."""
    if not trunk["admin_state_up"]:
        raise TrunkDisabled(trunk_id=trunk["id"])


def segmented(
    wanted: Sequence[Mapping[str, Any]],
    networks: Mapping[str, Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Subports with their numbers; ``inherit`` takes that of the subport's network. InvalidInput for a type
    or a number that no guest could see. ``networks``: by port id."""
    found = []
    for one in wanted:
        kind, number = one.get("segmentation_type"), one.get("segmentation_id")
        if kind == INHERIT:
            network = networks[one["port_id"]]
            kind, number = network["network_type"], network["segmentation_id"]
        if not kind or number is None:
            raise InvalidInput(
                f"Invalid subport details '{dict(one)}': missing segmentation information. "
                "Must specify both segmentation_id and segmentation_type"
            )
        try:
            value = int(number)
        except (TypeError, ValueError):
            raise InvalidInput(
                f"Invalid subport details: segmentation_id '{number}' is not an integer"
            ) from None
        if kind != VLAN:
            raise InvalidInput(f"Unknown segmentation_type '{kind}'")
        if value not in _VLANS:
            raise InvalidInput(f"Segmentation ID '{value}' is not in range")
        found.append({"port_id": one["port_id"], "segmentation_type": VLAN, "segmentation_id": value})
    return found


def check_subport(
    port: Mapping[str, Any],
    parent: Mapping[str, Any],
    mtus: Mapping[str, int],
    parents: Collection[str],
    children: Collection[str],
) -> None:
    """Refuse a port that can be no subport: the parent itself, with a greater MTU, in a trunk or in use."""
    port_id = port["id"]
    if port_id == parent["id"]:
        raise ParentPortInUse(port_id=port_id)
    trunk_mtu, port_mtu = mtus[parent["network_id"]], mtus[port["network_id"]]
    if trunk_mtu and port_mtu > trunk_mtu:
        raise SubPortMtuGreaterThanTrunkPortMtu(
            port_id=port_id, port_mtu=port_mtu, trunk_id=parent["id"], trunk_mtu=trunk_mtu
        )
    if port_id in children:
        raise TrunkPortInUse(port_id=port_id)
    if port_id in parents:
        raise ParentPortInUse(port_id=port_id)
    if port["device_id"]:
        raise PortInUse(port_id=port_id, net_id=port["network_id"], device_id=port["device_id"])


def trunk_status(before: str, parent: str, wanted: Sequence[str], failed: bool) -> str:
    """The state of a trunk from its ports' states; ``wanted``: of subports that shall carry packets."""
    if parent != ACTIVE:
        return DOWN
    if all(status == ACTIVE for status in wanted):
        return ACTIVE
    return DEGRADED if failed or before == DEGRADED else BUILD
