"""Bodies of requests for volumes, by microversion."""

from __future__ import annotations

from typing import Any

from pileus.resource import types
from pileus.resource.types import BadValue, Type
from pileus.resource.versions import Version
from pileus.services.volume.api import ID, LARGEST, METADATA, TEXT, at_least

HINTS = "OS-SCH-HNT:scheduler_hints"

SIZE = types.integer(1, LARGEST)
_HOSTS = types.one_of(types.uuid, types.list_of(types.uuid, maximum=64))
_HINTS = types.nullable(
    types.dict_of(
        {
            "same_host": _HOSTS,
            "different_host": _HOSTS,
            "local_to_instance": types.uuid,
            "query": types.anything,
        },
        additional=types.anything,
    )
)
_FIELDS: dict[str, Type] = {
    "size": types.nullable(SIZE),
    "name": TEXT,
    "description": TEXT,
    "display_name": TEXT,
    "display_description": TEXT,
    "availability_zone": TEXT,
    "volume_type": TEXT,
    "metadata": types.nullable(METADATA),
    "snapshot_id": ID,
    "source_volid": ID,
    "imageRef": types.nullable(types.string(255)),
    "image_id": ID,
    "multiattach": types.nullable(types.boolean),
    "consistencygroup_id": ID,
    "source_replica": types.nullable(types.string(255)),
    HINTS: _HINTS,
}


def create_body(version: Version) -> Type:
    """The body of a request for a new volume. Unknown fields are passed over until 3.52, as Cinder does."""
    fields = dict(_FIELDS)
    if at_least(version, "3.13"):
        fields["group_id"] = ID
    if at_least(version, "3.47"):
        fields["backup_id"] = ID
    volume = types.dict_of(fields)
    if not at_least(version, "3.53"):
        volume = types.normalised(
            types.dict_of(fields, additional=types.anything),
            lambda asked: {name: asked[name] for name in asked if name in fields},
        )
    return types.dict_of({"volume": volume, HINTS: _HINTS}, required=("volume",))


def _parse_update(value: Any) -> Any:
    """Names of old clients become the names of today."""
    parsed = dict(_UPDATED.parse(value))
    for old, new in (("display_name", "name"), ("display_description", "description")):
        if old in parsed:
            parsed.setdefault(new, parsed.pop(old))
            parsed.pop(old, None)
    if parsed.get("metadata", {}) is None:
        raise BadValue("not a dictionary", "None is not of type 'object'", value=None, path=("metadata",))
    return parsed


_UPDATED = types.dict_of(
    {
        "name": TEXT,
        "description": TEXT,
        "display_name": TEXT,
        "display_description": TEXT,
        "metadata": METADATA,
    }
)
UPDATE_BODY = types.dict_of({"volume": Type("volume", _parse_update, _UPDATED.schema)}, required=("volume",))
