"""The declarations of L2 gateways and of their connections."""

from __future__ import annotations

from typing import Any

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.types import BadValue, Type
from pileus.resource.wordings.neutron import NEUTRON
from pileus.services.network.common.attributes import ID, MOST, NAME, PROJECT
from pileus.services.network.common.errors import InvalidInput
from pileus.services.network.common.policy import ADMIN, rules
from pileus.services.network.l2_gateways.tables import l2_gateway_connections, l2_gateways

UNTAGGED, LAST_VLAN = 0, 4094
_LONGEST = 64


class L2GatewayNotFound(NotFound):
    message = "L2 Gateway {id} could not be found"


class L2GatewayConnectionNotFound(NotFound):
    message = "The connection {id} not found on the l2 gateway"


def parse_vlan(value: Any) -> int:
    """A VLAN as networking-l2gw reads it; InvalidInput."""
    try:
        if isinstance(value, str) and len(value) > 20:
            raise ValueError
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput("Segmentation id must be a valid integer") from None
    if not UNTAGGED <= number <= LAST_VLAN:
        raise InvalidInput("Segmentation id is out of range")
    return number


def _parse_devices(value: Any) -> list[dict[str, Any]]:
    """Devices with their interfaces, each with its VLANs as text; none where the connection says it."""
    if not value:
        raise BadValue("Cannot create a gateway with an empty device list", value=value)
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise BadValue("validate_gwdevice_list: provided data are not iterable", value=value)
    if len(value) > MOST:
        raise BadValue(f"'{len(value)}' devices exceed the maximum {MOST}", value=value)
    return [_parse_device(one) for one in value]


def _parse_device(device: dict[str, Any]) -> dict[str, Any]:
    interfaces = device.get("interfaces")
    if not device.get("device_name"):
        raise BadValue("Cannot create a gateway with an empty device_name", value=device)
    if not interfaces:
        raise BadValue("Cannot create a gateway with an empty interfaces", value=device)
    if not isinstance(interfaces, list) or len(interfaces) > MOST:
        raise BadValue("interfaces format is not a type list of dicts", value=device)
    done = []
    for interface in interfaces:
        if not isinstance(interface, dict):
            raise BadValue("interfaces format is not a type dict", value=device)
        if not interface.get("name"):
            raise BadValue("Cannot create a gateway with an empty interface name", value=device)
        found = {"name": _text(interface["name"]), "segmentation_id": list[str]()}
        if "segmentation_id" in interface:
            vlans = interface["segmentation_id"]
            if vlans and not isinstance(vlans, list):
                raise BadValue("segmentation_id type should be of list type ", value=device)
            if not vlans:
                raise BadValue("segmentation_id_list should not be empty", value=device)
            if len(vlans) > LAST_VLAN:
                raise BadValue("segmentation_id_list is too long", value=device)
            found["segmentation_id"] = [str(vlan) for vlan in dict.fromkeys(map(parse_vlan, vlans))]
        done.append(found)
    return {"device_name": _text(device["device_name"]), "interfaces": done}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise BadValue(f"'{value}' is not a valid string", value=value)
    if len(value) > _LONGEST:
        raise BadValue(f"'{value}' exceeds maximum length of {_LONGEST}", value=value)
    return value


def _parse_segmentation(value: Any) -> int:
    return NONE if value in ("", None) else parse_vlan(value)


NONE = -1
"""The segmentation id of a connection whose gateway says it."""
_DEVICES = Type("devices of an L2 gateway", _parse_devices, {"type": "array", "items": {"type": "object"}})
_SEGMENTATION = Type(
    "segmentation id",
    _parse_segmentation,
    {"type": ["integer", "string", "null"]},
    show=lambda value: "" if value == NONE else value,
)

L2_GATEWAY = Resource(
    "l2_gateway",
    table=l2_gateways,
    wording=NEUTRON,
    not_found=L2GatewayNotFound,
    attributes=(
        ID,
        NAME,
        PROJECT,
        Attribute(
            "devices",
            _DEVICES,
            create=True,
            update=True,
            required=True,
            description="Switches with their ports; the VLANs of a port, or none where connections say them.",
        ),
    ),
)

L2_GATEWAY_CONNECTION = Resource(
    "l2_gateway_connection",
    table=l2_gateway_connections,
    wording=NEUTRON,
    not_found=L2GatewayConnectionNotFound,
    attributes=(
        ID,
        PROJECT,
        Attribute("l2_gateway_id", types.uuid, create=True, required=True, filter=True),
        Attribute("network_id", types.uuid, create=True, required=True, filter=True),
        Attribute("segmentation_id", _SEGMENTATION, default=NONE, create=True),
    ),
)

RULES = rules(
    {
        f"{verb}_{name}": ADMIN
        for name in ("l2_gateway", "l2_gateway_connection")
        for verb in ("create", "get", "update", "delete")
        if (verb, name) != ("update", "l2_gateway_connection")
    }
)
