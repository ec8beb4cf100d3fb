"""The declaration of volume types. Source: Block Storage API reference, "Volume types"."""

from __future__ import annotations

from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource, fresh_id, request_time
from pileus.resource.wordings.cinder import CINDER
from pileus.services.volume.api import METADATA, NAME, TEXT
from pileus.services.volume.errors import VolumeTypeNotFound
from pileus.services.volume.filters import pairs
from pileus.services.volume.tables.types import volume_types

IS_PUBLIC = "os-volume-type-access:is_public"

VOLUME_TYPE = Resource(
    "volume_type",
    table=volume_types,
    wording=CINDER,
    not_found=VolumeTypeNotFound,
    rules={
        "create": "volume_extension:type_create",
        "get": "volume_extension:type_get",
        "list": "volume_extension:type_get_all",
        "update": "volume_extension:type_update",
        "delete": "volume_extension:type_delete",
    },
    attributes=(
        Attribute("id", types.uuid, default=fresh_id, sort=True),
        Attribute("name", NAME, create=True, update=True, required=True, sort=True, filter=True),
        Attribute("description", TEXT, create=True, update=True, sort=True),
        Attribute("is_public", types.boolean, default=True, create=True, update=True, alias=IS_PUBLIC),
        Attribute(
            "extra_specs",
            METADATA,
            default={},
            create=True,
            filter=True,
            condition=pairs(volume_types.c.extra_specs),
        ),
        Attribute("qos_specs_id", types.nullable(types.uuid)),
        Attribute("created_at", types.timestamp_plain, default=request_time, visible=False, sort=True),
        Attribute("updated_at", types.nullable(types.timestamp_plain), visible=False, sort=True),
    ),
    default_sort=(("created_at", True),),
    description="Which pools a volume may be put into, and how.",
)
