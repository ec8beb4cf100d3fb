"""The declaration of images. What people add to an image stands beside its own attributes in every view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, select

from pileus.core.context import Context
from pileus.core.formats import FORMATS
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource, callers_project, fresh_id, request_time
from pileus.resource.tag_table import MAX_TAG, tags_load, tags_save
from pileus.resource.wordings.glance import GLANCE
from pileus.services.image.errors import ImageNotFound
from pileus.services.image.images.tables import image_properties, images
from pileus.store.column_in import column_in
from pileus.store.tx import Tx

CONTAINERS = ("ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed")
VISIBILITIES = ("community", "public", "private", "shared")
MAX_PROPERTY_NAME = 255
STATUSES = (
    "queued",
    "saving",
    "active",
    "killed",
    "deleted",
    "uploading",
    "importing",
    "pending_delete",
    "deactivated",
)

_ID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"


def _unique_tags(tags: Sequence[str]) -> list[str]:
    return sorted(set(tags))


def _properties_load(tx: Tx, ids: list[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    columns = image_properties.c
    statement = select(columns.image_id, columns.name, columns.value).where(
        column_in(tx, columns.image_id, ids)
    )
    rows: Any = tx.rows(statement)
    for image_id, name, value in rows:
        found.setdefault(image_id, {})[name] = value
    return found


def _properties_save(tx: Tx, context: Context, several: Mapping[str, Mapping[str, str]]) -> None:
    """Make these the properties of these images, whatever they were."""
    tx.execute(delete(image_properties).where(column_in(tx, image_properties.c.image_id, list(several))))
    tx.insert(
        image_properties,
        [
            {"image_id": image_id, "name": name, "value": value}
            for image_id, properties in several.items()
            for name, value in properties.items()
        ],
    )


IMAGE = Resource(
    "image",
    table=images,
    wording=GLANCE,
    not_found=ImageNotFound,
    attributes=(
        Attribute(
            "id",
            types.string(36, pattern=_ID),
            default=fresh_id,
            create=True,
            description="An identifier for the image",
        ),
        Attribute(
            "name",
            types.nullable(types.string(255)),
            create=True,
            update=True,
            description="Descriptive name for the image",
        ),
        Attribute("status", types.enum(*STATUSES), default="queued", description="Status of the image"),
        Attribute(
            "visibility",
            types.enum(*VISIBILITIES),
            default="shared",
            create=True,
            update=True,
            description="Scope of image accessibility",
        ),
        Attribute(
            "protected",
            types.strict_boolean,
            default=False,
            create=True,
            update=True,
            description="If true, image will not be deletable.",
        ),
        Attribute(
            "os_hidden",
            types.strict_boolean,
            default=False,
            create=True,
            update=True,
            description="If true, image will not appear in default image list response.",
        ),
        Attribute("checksum", types.nullable(types.string(32)), description="md5 hash of image contents."),
        Attribute(
            "os_hash_algo",
            types.nullable(types.string(64)),
            description="Algorithm to calculate the os_hash_value",
        ),
        Attribute(
            "os_hash_value",
            types.nullable(types.string(128)),
            description="Hexdigest of the image contents using the algorithm specified by the os_hash_algo",
        ),
        Attribute(
            "owner",
            types.nullable(types.string(255)),
            default=callers_project,
            create=True,
            update=True,
            description="Owner of the image",
        ),
        Attribute("size", types.nullable(types.integer(0)), description="Size of image file in bytes"),
        Attribute(
            "virtual_size", types.nullable(types.integer(0)), description="Virtual size of image in bytes"
        ),
        Attribute(
            "container_format",
            types.nullable(types.enum(*CONTAINERS)),
            create=True,
            update=True,
            description="Format of the container",
        ),
        Attribute(
            "disk_format",
            types.nullable(types.enum(*FORMATS)),
            create=True,
            update=True,
            description="Format of the disk",
        ),
        Attribute(
            "created_at",
            types.timestamp,
            default=request_time,
            description="Date and time of image registration",
        ),
        Attribute(
            "updated_at",
            types.timestamp,
            default=request_time,
            description="Date and time of the last image modification",
        ),
        Attribute(
            "tags",
            types.normalised(types.list_of(types.string(MAX_TAG)), _unique_tags),
            default=[],
            empty=(),
            create=True,
            update=True,
            loader=tags_load,
            saver=tags_save,
            description="List of strings related to the image",
        ),
        Attribute(
            "min_ram",
            types.integer(0),
            default=0,
            create=True,
            update=True,
            description="Amount of ram (in MB) required to boot image.",
        ),
        Attribute(
            "min_disk",
            types.integer(0),
            default=0,
            create=True,
            update=True,
            description="Amount of disk space (in GB) required to boot image.",
        ),
        Attribute(
            "properties",
            types.anything,
            default={},
            empty={},
            create=True,
            loader=_properties_load,
            saver=_properties_save,
            description="What people add to an image; shown beside its own attributes.",
        ),
        Attribute("object", types.nullable(types.string(80)), visible=False),
        Attribute("worker", types.nullable(types.string(64)), visible=False),
        Attribute("staged", types.anything, visible=False),
        Attribute("reserved", types.nullable(types.integer(0, 2**63 - 1)), visible=False),
    ),
)

BASE = frozenset(name for name, one in IMAGE.attributes.items() if one.visible and name != "properties")
"""The attributes that clients know as an image's own."""

SETTABLE = frozenset(name for name in BASE if IMAGE.attributes[name].create)
