"""Bodies of namespaces, objects, properties, tags and associations, in requests and replies.

Source: Metadata Definitions API v2 and the schemas at ``/v2/schemas/metadefs``.
"""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Row

from pileus.core.errors import Forbidden, Invalid
from pileus.resource import types
from pileus.resource.types import BadValue, Type
from pileus.services.image.metadefs.tables import MAX_NAME

_MAX_ITEMS = 1000
READ_ONLY = ("self", "schema", "created_at", "updated_at")


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadValue(f"'{value}' is not a number", f"{value!r} is not of type 'number'", value=value)
    return value


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError):
        raise BadValue(
            f"'{text}' is no regular expression", f"{text!r} is not a 'regex'", value=text
        ) from None
    return text


# A slash in a name could not be told from one of the path.
NAME = types.string(MAX_NAME, minimum=1, pattern=r"[^/]+")
_TEXT = types.string(4000)
_NUMBER = Type("number", _number, {"type": "number"})
_COUNT = types.strict_integer(0)
_KIND = types.enum("array", "boolean", "integer", "number", "object", "string", None)
_CHOICES = types.list_of(types.anything, maximum=_MAX_ITEMS)
_NAMES = types.list_of(types.string(255), unique=True, maximum=_MAX_ITEMS)

_PROPERTY = {
    "name": NAME,
    "title": types.string(255),
    "description": _TEXT,
    "operators": types.list_of(types.string(80), maximum=100),
    "type": _KIND,
    "required": _NAMES,
    "minimum": _NUMBER,
    "maximum": _NUMBER,
    "minLength": _COUNT,
    "maxLength": _COUNT,
    "pattern": types.normalised(types.string(1000), _pattern),
    "enum": _CHOICES,
    "readonly": types.strict_boolean,
    "default": types.anything,
    "items": types.dict_of({"type": _KIND, "enum": _CHOICES}, additional=types.anything),
    "minItems": _COUNT,
    "maxItems": _COUNT,
    "uniqueItems": types.strict_boolean,
    "additionalItems": types.strict_boolean,
    "confidential": types.strict_boolean,
}
_NEEDED = ("title", "type")

PROPERTY = types.dict_of(_PROPERTY, required=("name", *_NEEDED))
_PROPERTY_OF = types.dict_of(_PROPERTY, required=_NEEDED)


def _named(properties: dict[str, Any]) -> dict[str, Any]:
    """Properties by name, where a name is a key and no member."""
    for name, one in properties.items():
        NAME.parse(name)
        one.pop("name", None)
    if len(properties) > _MAX_ITEMS:
        raise BadValue("Too many properties", f"there may be {_MAX_ITEMS} properties at most", value=None)
    return properties


PROPERTIES = types.normalised(types.dict_of({}, additional=_PROPERTY_OF), _named)
OBJECT = types.dict_of(
    {"name": NAME, "description": _TEXT, "required": _NAMES, "properties": PROPERTIES}, required=("name",)
)
TAG = types.dict_of({"name": NAME}, required=("name",))
TAGS = types.dict_of({"tags": types.list_of(TAG, maximum=_MAX_ITEMS)}, required=("tags",))
ASSOCIATION = types.dict_of(
    {"name": NAME, "prefix": types.string(MAX_NAME), "properties_target": types.string(MAX_NAME)},
    required=("name",),
)

OWN = {
    "namespace": NAME,
    "display_name": types.string(MAX_NAME),
    "description": types.string(500),
    "visibility": types.enum("public", "private"),
    "protected": types.strict_boolean,
    "owner": types.string(255),
}
"""The attributes that are a namespace's own."""

NAMESPACE = types.dict_of(
    {
        **OWN,
        "resource_type_associations": types.list_of(ASSOCIATION, maximum=_MAX_ITEMS),
        "properties": PROPERTIES,
        "objects": types.list_of(OBJECT, maximum=_MAX_ITEMS),
        "tags": types.list_of(TAG, maximum=_MAX_ITEMS),
    },
    required=("namespace",),
)


def read_body(kind: Type, name: str, body: Any) -> Any:
    """Check a request's body. Raises Forbidden for what is only shown, Invalid in Glance's words."""
    if isinstance(body, dict):
        for key in READ_ONLY:
            if key in body:
                raise Forbidden(f"Attribute '{key}' is read-only.")
    try:
        return kind.parse(body)
    except BadValue as bad:
        path = ".".join(str(step) for step in bad.path)
        where = f" in {path}" if path else ""
        raise Invalid(f"Provided object does not match schema '{name}': {bad.schema}{where}") from None


def times(row: Row[Any]) -> dict[str, str]:
    """When a row was made and last changed, as views show it."""
    return {
        name: getattr(row, name).isoformat(timespec="seconds") + "Z" for name in ("created_at", "updated_at")
    }
