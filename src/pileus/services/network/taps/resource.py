"""The declarations of tap services, tap flows and tap mirrors."""

from __future__ import annotations

import re
from typing import Any

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.types import BadValue, Type
from pileus.resource.wordings.neutron import NEUTRON
from pileus.services.network.common.attributes import ID, NAME, PROJECT, TEXT
from pileus.services.network.common.policy import ADMIN_OR_MEMBER, ADMIN_OR_READER, rules
from pileus.services.network.taps.tables import tap_flows, tap_mirrors, tap_services

IN, OUT, BOTH = "IN", "OUT", "BOTH"
ERSPAN, GRE = "erspanv1", "gre"
ACTIVE, DOWN = "ACTIVE", "DOWN"
GREATEST_KEY = {ERSPAN: 1023, GRE: (1 << 32) - 1}
"""A session of ERSPAN has 10 bits, a key of GRE 32 (RFC 2890)."""

_VLANS = re.compile(r"([0-9]+(-[0-9]+)?)(,([0-9]+(-[0-9]+)?))*", re.ASCII)
_LAST_VLAN = 4095


class TapServiceNotFound(NotFound):
    message = "Tap Service  {id} does not exist"


class TapFlowNotFound(NotFound):
    message = "Tap Flow  {id} does not exist"


class TapMirrorNotFound(NotFound):
    message = "Tap Mirror {id} does not exist"


def _parse_vlans(value: Any) -> str:
    """``9,18,27-36``; numbers that no VLAN has and ranges that end before they begin are refused."""
    bad = BadValue(f"'{value}' is not a valid input", value=value)
    if not isinstance(value, str) or len(value) > 1024 or not _VLANS.fullmatch(value):
        raise bad
    for part in value.split(","):
        first, _, last = part.partition("-")
        if len(part) > 9 or not int(first) <= int(last or first) <= _LAST_VLAN:
            raise bad
    return ",".join("-".join(str(int(one)) for one in part.split("-")) for part in value.split(","))


def _parse_key(value: Any) -> int:
    try:
        return int(_NUMBER.parse(value))
    except BadValue as bad:
        raise BadValue(bad.text, value=value) from None  # neutron-lib checks these, and converts nothing


_NUMBER = types.integer(0, GREATEST_KEY[GRE])
_KEY = Type("tunnel", _parse_key, _NUMBER.schema)
VLAN_FILTER = types.nullable(
    Type("VLANs", _parse_vlans, {"type": "string", "maxLength": 1024, "pattern": _VLANS.pattern})
)
DESCRIPTION = Attribute("description", TEXT, default="", create=True, update=True, filter=True)
_STATUS = Attribute("status", types.string(16), default=DOWN, filter=True)

TAP_SERVICE = Resource(
    "tap_service",
    table=tap_services,
    wording=NEUTRON,
    not_found=TapServiceNotFound,
    attributes=(
        ID,
        NAME,
        PROJECT,
        DESCRIPTION,
        Attribute(
            "port_id",
            types.uuid,
            create=True,
            required=True,
            filter=True,
            description="The port that gets the copies.",
        ),
        _STATUS,
        Attribute("number", types.integer(1), visible=False),
    ),
)

TAP_FLOW = Resource(
    "tap_flow",
    table=tap_flows,
    wording=NEUTRON,
    not_found=TapFlowNotFound,
    attributes=(
        ID,
        NAME,
        PROJECT,
        DESCRIPTION,
        Attribute("tap_service_id", types.uuid, create=True, required=True, filter=True),
        Attribute(
            "source_port",
            types.uuid,
            create=True,
            required=True,
            filter=True,
            description="The port whose packets are copied.",
        ),
        Attribute("direction", types.enum(IN, OUT, BOTH), create=True, required=True, filter=True),
        Attribute("vlan_filter", VLAN_FILTER, default=None, create=True, filter=True),
        _STATUS,
    ),
)

TAP_MIRROR = Resource(
    "tap_mirror",
    table=tap_mirrors,
    wording=NEUTRON,
    not_found=TapMirrorNotFound,
    attributes=(
        ID,
        NAME,
        PROJECT,
        DESCRIPTION,
        Attribute("port_id", types.uuid, create=True, required=True, filter=True),
        Attribute(
            "directions",
            types.dict_of(dict.fromkeys((IN, OUT, BOTH), _KEY)),
            create=True,
            required=True,
            description="The tunnel of each direction, by the number that its packets carry.",
        ),
        Attribute("remote_ip", types.ip_address, create=True, required=True, filter=True),
        Attribute("mirror_type", types.enum(ERSPAN, GRE), create=True, required=True, filter=True),
    ),
)

RULES = rules(
    {
        **{
            f"{verb}_{name}": ADMIN_OR_MEMBER
            for name in ("tap_service", "tap_flow")
            for verb in ("create", "get", "update", "delete")
        },
        "create_tap_mirror": ADMIN_OR_MEMBER,
        "get_tap_mirror": ADMIN_OR_READER,
        "update_tap_mirror": ADMIN_OR_MEMBER,
        "delete_tap_mirror": ADMIN_OR_MEMBER,
    }
)
