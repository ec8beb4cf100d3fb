"""JSON schemas of metadata definitions, made from the types that check bodies."""

from __future__ import annotations

from typing import Any

from pileus.services.image.metadefs import bodies

_SHOWN_TIMES = {
    name: {"type": "string", "readOnly": True, "format": "date-time"} for name in ("created_at", "updated_at")
}
_LINKS = {name: {"type": "string", "readOnly": True} for name in ("self", "schema")}


def _one(name: str, body: Any, shown: dict[str, Any], required: tuple[str, ...]) -> dict[str, Any]:
    return {
        "name": name,
        "properties": {**body.schema["properties"], **shown},
        "additionalProperties": False,
        "required": list(required),
    }


def _several(name: str, item: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "properties": {
            name: {"type": "array", "items": item},
            "first": {"type": "string"},
            "next": {"type": "string"},
            "schema": {"type": "string"},
        },
        "links": [
            {"rel": "first", "href": "{first}"},
            {"rel": "next", "href": "{next}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
    }


def _by_name(name: str, item: dict[str, Any]) -> dict[str, Any]:
    """A collection of things whose names are keys."""
    schema = _several(name, item)
    unnamed = {**item, "required": [one for one in item["required"] if one != "name"]}
    schema["properties"][name] = {"type": "object", "additionalProperties": unnamed}
    return schema


_NAMESPACE = _one("namespace", bodies.NAMESPACE, {**_SHOWN_TIMES, **_LINKS}, ("namespace",))
_OBJECT = _one("object", bodies.OBJECT, {**_SHOWN_TIMES, **_LINKS}, ("name",))
_PROPERTY = _one("property", bodies.PROPERTY, {}, ("name", "title", "type"))
_TAG = _one("tag", bodies.TAG, _SHOWN_TIMES, ("name",))
_TYPE = _one("resource_type_association", bodies.ASSOCIATION, _SHOWN_TIMES, ("name",))

METADEF_SCHEMAS = {
    "namespace": _NAMESPACE,
    "namespaces": _several("namespaces", _NAMESPACE),
    "object": _OBJECT,
    "objects": _several("objects", _OBJECT),
    "property": _PROPERTY,
    "properties": _by_name("properties", _PROPERTY),
    "tag": _TAG,
    "tags": _several("tags", _TAG),
    "resource_type": _TYPE,
    "resource_types": _several("resource_type_associations", _TYPE),
}
