"""The declaration of ranges of segments."""

from __future__ import annotations

from dataclasses import replace

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource, callers_project
from pileus.resource.standard import STANDARD
from pileus.resource.wordings.neutron import NEUTRON
from pileus.services.network.common.attributes import GREATEST, ID, NAME, given, number
from pileus.services.network.common.policy import ADMIN, rules
from pileus.services.network.network_segment_ranges.tables import network_segment_ranges


class NetworkSegmentRangeNotFound(NotFound):
    message = "Network Segment Range {id} could not be found."


_LIMIT = number(1, GREATEST)

# The settings' ranges were never made or changed.
_TIMES_OR_NONE = tuple(
    replace(one, type=types.nullable(one.type)) if one.name in ("created_at", "updated_at") else one
    for one in STANDARD
)

NETWORK_SEGMENT_RANGE = Resource(
    "network_segment_range",
    table=network_segment_ranges,
    collection="network_segment_ranges",
    wording=NEUTRON,
    not_found=NetworkSegmentRangeNotFound,
    attributes=(
        ID,
        NAME,
        Attribute(
            "project_id",
            types.nullable(types.string(36)),
            alias="tenant_id",
            default=callers_project,
            create=True,
            filter=True,
            sort=True,
            description="Whose networks get segments of it; nobody's in particular where it is shared.",
        ),
        Attribute("default", types.boolean, empty=False, description="Whether it is one of the settings."),
        Attribute("shared", types.boolean, default=True, create=True),
        Attribute(
            "network_type",
            types.enum("vlan", "vxlan", "gre", "geneve"),
            create=True,
            required=True,
            filter=True,
        ),
        Attribute("physical_network", given(types.string(64)), default="", create=True, filter=True),
        Attribute("minimum", _LIMIT, create=True, update=True, required=True),
        Attribute("maximum", _LIMIT, create=True, update=True, required=True),
        Attribute(
            "used",
            types.dict_of({}, additional=types.string(36)),
            default={},
            description="The ids that are taken, with the projects of their networks.",
        ),
        Attribute(
            "available",
            types.list_of(types.integer(0)),
            default=[],
            description="The ids that are free, in order; at most 65536 of them.",
        ),
        *_TIMES_OR_NONE,
    ),
)

RULES = rules({f"{verb}_network_segment_range": ADMIN for verb in ("create", "get", "update", "delete")})
