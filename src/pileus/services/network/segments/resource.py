"""The declaration of segments."""

from __future__ import annotations

from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.standard import STANDARD
from pileus.resource.types import Type
from pileus.resource.wordings.neutron import NEUTRON
from pileus.services.network.common.attributes import ID, number
from pileus.services.network.common.names import name_type
from pileus.services.network.common.policy import ADMIN, rules
from pileus.services.network.networks.resource import NETWORK
from pileus.services.network.networks.tables import segments
from pileus.services.network.subnets.places import SegmentNotFound


def _or_none(inner: Type) -> Type:
    """A type of which the empty value stands for none."""
    return Type(
        inner.name,
        inner.parse,
        types.nullable(inner).schema,
        query=inner.query,
        accepts_none=True,
        show=lambda value: value or None,
    )


SEGMENT = Resource(
    "segment",
    table=segments,
    wording=NEUTRON,
    not_found=SegmentNotFound,
    parents={"network_id": NETWORK},
    attributes=(
        ID,
        Attribute(
            "project_id",
            types.string(36),
            alias="tenant_id",
            default="",
            create=True,
            visible=False,
            description="Taken and not kept: a segment is of its network's project.",
        ),
        Attribute("network_id", types.uuid, create=True, required=True, filter=True, sort=True),
        Attribute(
            "network_type",
            types.string(32),
            create=True,
            required=True,
            filter=True,
            sort=True,
        ),
        Attribute(
            "physical_network",
            _or_none(types.string(64)),
            default="",
            create=True,
            filter=True,
            sort=True,
        ),
        Attribute(
            "segmentation_id",
            _or_none(number()),
            default=0,
            create=True,
            filter=True,
            sort=True,
            description="Drawn where it is not given, as for a network.",
        ),
        Attribute("segment_index", types.integer(0), default=0, visible=False),
        Attribute(
            "name",
            types.nullable(name_type()),
            default=None,
            create=True,
            update=True,
            filter=True,
            sort=True,
        ),
        *STANDARD,
    ),
)

RULES = rules({f"{action}_segment": ADMIN for action in ("create", "get", "update", "delete")})
