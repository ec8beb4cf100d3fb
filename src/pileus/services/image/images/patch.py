"""JSON patches of images: read, and applied to values. Source: Image API v2, "Image update".

Two media types are taken. In v2.1 an operation is ``{"op", "path", "value"}`` (RFC 6902), in v2.0
``{"replace": "/name", "value"}``; ``add`` of what is there replaces it in the first and is refused in the
second.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from pileus.core.errors import Conflict, Forbidden, Invalid
from pileus.resource.types import BadValue, Schema, Type
from pileus.services.image.errors import ReadOnly, Reserved
from pileus.services.image.images.resource import BASE, IMAGE, MAX_PROPERTY_NAME, SETTABLE
from pileus.web.faults import UnsupportedMediaType

MEDIA_TYPES = (
    "application/openstack-images-v2.0-json-patch",
    "application/openstack-images-v2.1-json-patch",
)
OPERATIONS = ("add", "remove", "replace")

_RESERVED = frozenset({"location", "locations", "deleted", "deleted_at"})
_OF_VIEWS = frozenset({"direct_url", "self", "file", "schema", "stores"})
_RESERVED_PREFIX = "os_glance"
_UNCHANGEABLE = frozenset({"id"})
_FORMATS = frozenset({"disk_format", "container_format"})


class Change(NamedTuple):
    """``op`` on one attribute or property; ``strict``: adding what is there is refused."""

    op: str
    name: str
    value: Any
    strict: bool


def check_name(name: str) -> None:
    """Refuse names that clients may not give to properties: Forbidden, or Invalid for one too long."""
    if name in _OF_VIEWS:
        raise ReadOnly(name=name)
    if name in _RESERVED or name.startswith(_RESERVED_PREFIX):
        raise Reserved(name=name)
    if not 0 < len(name) <= MAX_PROPERTY_NAME:
        raise Invalid(f"Custom property should not be greater than {MAX_PROPERTY_NAME} characters.")
    if "\x00" in name:
        raise Invalid("Custom property should not have NUL characters in its name.")


def check_property(name: str, value: Any) -> str:
    """A property's value, which is text."""
    if not isinstance(value, str) or "\x00" in value:
        raise Invalid(
            f"Provided object does not match schema 'image': {value!r} is not of type 'string': {name}"
        )
    return value


def _parse_patch(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise Invalid("Request body must be a JSON array of operation objects.")
    if not all(isinstance(operation, dict) for operation in value):
        raise Invalid("Operations must be JSON objects.")
    return value


def _operation(op: str) -> Schema:
    """An operation in both forms: RFC 6902's, and that of v2.0."""
    value: Schema = {} if op == "remove" else {"value": {}}
    new = {"op": {"const": op}, "path": {"type": "string"}, **value}
    old = {op: {"type": "string"}, **value}
    return {"anyOf": [{"type": "object", "properties": one, "required": list(one)} for one in (new, old)]}


JSON_PATCH = Type(
    "JSON patch", _parse_patch, {"type": "array", "items": {"anyOf": [_operation(op) for op in OPERATIONS]}}
)


def read_patch(media_type: str, body: Any) -> list[Change]:
    """Read a request's body in the form of its media type.

    Raises UnsupportedMediaType, Invalid or Forbidden.
    """
    if media_type not in MEDIA_TYPES:
        raise UnsupportedMediaType(f"Image PATCH expects Content-Type one of: {', '.join(MEDIA_TYPES)}")
    old = media_type == MEDIA_TYPES[0]
    return [_read_change(raw, old) for raw in JSON_PATCH.parse(body)]


def _read_change(raw: Mapping[str, Any], old: bool) -> Change:
    op, path = _read_old(raw) if old else _read_new(raw)
    name = _read_pointer(path)
    if name in BASE and (name not in SETTABLE or name in _UNCHANGEABLE):
        raise ReadOnly(name=name)
    if name not in BASE:
        check_name(name)
    if op == "remove":
        return Change(op, name, None, old)
    if "value" not in raw:
        raise Invalid(f'Operation "{op}" requires a member named "value".')
    return Change(op, name, _read_value(name, raw["value"]), old)


def _read_old(raw: Mapping[str, Any]) -> tuple[str, Any]:
    named = [op for op in OPERATIONS if op in raw]
    if len(named) != 1:
        raise Invalid(
            'Operation objects must contain exactly one member named "add", "remove", or "replace".'
        )
    return named[0], raw[named[0]]


def _read_new(raw: Mapping[str, Any]) -> tuple[str, Any]:
    op = raw.get("op")
    if op not in OPERATIONS:
        raise Invalid(f"Invalid operation: `{op}`. It must be one of the following: {', '.join(OPERATIONS)}.")
    if "path" not in raw:
        raise Invalid("Unable to find 'path' in JSON Schema change")
    return str(op), raw["path"]


def _read_pointer(pointer: Any) -> str:
    """The one step of a JSON pointer (RFC 6901)."""
    if not isinstance(pointer, str) or not pointer.startswith("/"):
        raise Invalid(f'Pointer `{pointer}` does not start with "/".')
    step = pointer[1:]
    if not step.strip() or "/" in step:
        raise _unless_location(step, Invalid(f"Invalid JSON pointer for this resource: '{pointer}'"))
    if re.search("~(?![01])", step):
        raise Invalid(f'Pointer `{pointer}` contains "~" not part of a recognized escape sequence.')
    return step.replace("~1", "/").replace("~0", "~").strip()


def _unless_location(step: str, otherwise: Exception) -> Exception:
    """``/locations/-`` is a path of Glance's, and forbidden where locations are not shown."""
    if step.split("/")[0] == "locations":
        return Forbidden("It's not allowed to update locations if locations are invisible.")
    return otherwise


def _read_value(name: str, value: Any) -> Any:
    if name not in BASE:
        return check_property(name, value)
    try:
        return IMAGE.attributes[name].type.parse(value)
    except BadValue as bad:
        raise IMAGE.wording.bad_value(name, value, bad) from None


def apply(image: Mapping[str, Any], changes: list[Change]) -> dict[str, Any]:
    """The new values of what the changes change, ``properties`` whole. Raises Conflict or Forbidden."""
    after: dict[str, Any] = {}
    properties = dict(image["properties"])
    for change in changes:
        present = change.name in BASE or change.name in properties
        if change.op == "add" and change.strict and present:
            raise Conflict(f"Property {change.name} already present.")
        if change.op != "add" and not present:
            raise Conflict(f"Property {change.name} does not exist.")
        if change.name not in BASE:
            if change.op == "remove":
                del properties[change.name]
            else:
                properties[change.name] = change.value
        elif change.op == "remove":
            raise Forbidden(f"Property {change.name} may not be removed.")
        else:
            if change.name in _FORMATS and image["status"] not in ("queued", "importing"):
                raise Forbidden(f"Attribute {change.name} can be only replaced for a queued image.")
            after[change.name] = change.value
    if properties != image["properties"]:
        after["properties"] = properties
    return after
