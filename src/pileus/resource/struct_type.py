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
        if (path := _place_of_nul(value)) is not None:
            reason = "a text with a NUL character is not a valid string"
            raise BadValue(reason, reason, value=value, path=path)
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            raise _bad_value(str(error), value) from None

    schemas, components = msgspec.json.schema_components((kind,), ref_template="{name}")
    return Type(kind.__name__, parse, _inline(schemas[0], components))


def _place_of_nul(value: Any) -> tuple[str | int, ...] | None:
    """Where the first text with a NUL is, which PostgreSQL does not take; None where there is none."""
    waiting: list[tuple[Any, tuple[str | int, ...]]] = [(value, ())]
    while waiting:
        one, path = waiting.pop()
        if isinstance(one, str):
            if "\x00" in one:
                return path
        elif isinstance(one, dict):
            for name, below in one.items():
                if "\x00" in name:
                    return path
                waiting.append((below, (*path, name)))
        elif isinstance(one, list):
            waiting.extend((below, (*path, place)) for place, below in enumerate(one))
    return None


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
