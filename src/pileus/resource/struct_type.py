"""Types made of msgspec structs: the schema that is told and the check that is made are the struct."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from pileus.resource.types import BadValue, Type

_PLACE = re.compile(r"(?P<reason>.*?)(?: - at `\$\.?(?P<path>[^`]*)`)?", re.S)
_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


def struct_type(kind: type[Any]) -> Type:
    """The type of JSON objects that are converted to a struct."""

    def parse(value: Any) -> Any:
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            raise _bad_value(str(error), value) from None

    schemas, components = msgspec.json.schema_components((kind,), ref_template="{name}")
    return Type(kind.__name__, parse, _inline(schemas[0], components))


def _bad_value(text: str, value: Any) -> BadValue:
    """msgspec's "Expected `str`, got `int` - at `$.identity.token.id`" with its path apart."""
    found = _PLACE.fullmatch(text)
    assert found is not None
    steps = _STEP.findall(found["path"] or "")
    path = tuple(int(index) if index else name for index, name in steps)
    return BadValue(text, found["reason"], value=value, path=path)


def _inline(schema: Any, components: dict[str, Any]) -> Any:
    """A schema with what it refers to in place. The structs of requests don't refer to themselves."""
    if isinstance(schema, list):
        return [_inline(one, components) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inline(components[schema["$ref"]], components)
    return {
        name: _inline(one, components) for name, one in schema.items() if name not in ("title", "description")
    }
