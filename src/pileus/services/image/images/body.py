"""Bodies and replies of images: an image's own attributes, and beside them any property that is text."""

from __future__ import annotations

from typing import Any

from pileus.resource import types
from pileus.resource.types import Schema, Type
from pileus.services.image.images.patch import check_name, check_property
from pileus.services.image.images.resource import BASE, IMAGE

_TEXT = types.string(None)


def _parse_new(value: Any) -> dict[str, Any]:
    """An image's own attributes as they were given, and all others as its ``properties``."""
    if not isinstance(value, dict):
        raise IMAGE.wording.no_object(IMAGE, value)
    own, properties = {}, {}
    for name, one in value.items():
        if name in BASE:
            own[name] = one
        else:
            check_name(name)
            properties[name] = check_property(name, one)
    return {**own, "properties": properties}


def _object(attributes: dict[str, Schema]) -> Schema:
    return {"type": "object", "properties": attributes, "additionalProperties": _TEXT.schema}


NEW_IMAGE = Type(
    "new image",
    _parse_new,
    _object({name: one.type.schema for name, one in IMAGE.attributes.items() if name in BASE and one.create}),
)

_OWN = {name: IMAGE.attributes[name].type for name in sorted(BASE)}
_PATHS = ("self", "file", "schema")
IMAGE_REPLY = types.dict_of(
    {**_OWN, **dict.fromkeys(_PATHS, _TEXT)}, required=(*_OWN, *_PATHS), additional=_TEXT
)
IMAGES_REPLY = types.dict_of(
    {"images": types.list_of(IMAGE_REPLY), "first": _TEXT, "next": _TEXT, "schema": _TEXT},
    required=("images", "first", "schema"),
)
