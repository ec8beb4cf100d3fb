"""JSON schemas of the API's views, made from the declarations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.services.image.images.resource import BASE, IMAGE
from pileus.services.image.members.resource import MEMBER
from pileus.services.image.metadefs.schemas import METADEF_SCHEMAS
from pileus.services.image.tasks.resource import TASK
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import ANYBODY, Route

_PATHS = {"self": "An image self url", "file": "An image file url", "schema": "An image schema url"}


def _property(attribute: Attribute, writable: bool) -> dict[str, Any]:
    schema = _plain(attribute.type.schema)
    schema["description"] = attribute.description
    if not writable:
        schema["readOnly"] = True
    return schema


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema in the words that Glance's clients know: ``type: [null, string]`` and not ``anyOf``."""
    choices = schema.get("anyOf")
    if choices is None:
        made = dict(schema)
    else:
        made = dict(choices[0])
        if "enum" in made:
            made["enum"] = [None, *made["enum"]]
        made["type"] = ["null", made.get("type", "string")]
    if "enum" in made and "type" not in made:
        made["type"] = "string"
    return made


def _image() -> dict[str, Any]:
    properties = {name: _property(one, one.create) for name, one in IMAGE.attributes.items() if name in BASE}
    for name, description in _PATHS.items():
        properties[name] = {"type": "string", "readOnly": True, "description": description}
    return {
        "name": "image",
        "properties": properties,
        "additionalProperties": {"type": "string"},
        "links": [
            {"rel": "self", "href": "{self}"},
            {"rel": "enclosure", "href": "{file}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
    }


def _member() -> dict[str, Any]:
    properties = {name: _property(one, True) for name, one in MEMBER.attributes.items()}
    properties["schema"] = {"type": "string", "readOnly": True}
    return {"name": "member", "properties": properties}


def _task() -> dict[str, Any]:
    properties = {name: _property(one, False) for name, one in TASK.attributes.items()}
    for name in ("self", "schema"):
        properties[name] = {"type": "string", "readOnly": True}
    return {"name": "task", "properties": properties}


def _collection(resource: Resource, item: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": resource.plural,
        "properties": {
            resource.plural: {"type": "array", "items": item},
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


SCHEMAS = {
    "image": _image(),
    "images": _collection(IMAGE, _image()),
    "member": _member(),
    "members": _collection(MEMBER, _member()),
    "task": _task(),
    "tasks": _collection(TASK, _task()),
}


async def show_schema(request: Request) -> Reply:
    """One schema."""
    return _found(SCHEMAS, request)


async def show_metadef_schema(request: Request) -> Reply:
    """One schema of metadata definitions."""
    return _found(METADEF_SCHEMAS, request)


def _found(schemas: Mapping[str, Any], request: Request) -> Reply:
    found = schemas.get(request.path["name"])
    if found is None:
        raise NotFound
    return Reply.json(found)


_REPLY = types.dict_of({"name": types.string(None)}, required=("name",), additional=types.anything)


NOUN = Noun(
    name="schema",
    routes=(
        Route(
            "GET",
            "/v2/schemas/{name}",
            show_schema,
            rule=ANYBODY,
            reply=_REPLY,
            summary="Show a JSON schema",
        ),
        Route(
            "GET",
            "/v2/schemas/metadefs/{name}",
            show_metadef_schema,
            rule=ANYBODY,
            reply=_REPLY,
            summary="Show a JSON schema of metadata definitions",
        ),
    ),
)
