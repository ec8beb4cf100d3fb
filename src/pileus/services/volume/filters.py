"""Filters of lists that compare no column as it is: dictionaries, times, parts of names."""

from __future__ import annotations

import ast
import datetime as dt
import operator
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, and_, true

from pileus.core.times import parse_time
from pileus.resource.types import BadValue
from pileus.services.volume.errors import BadRequest
from pileus.store.schema import raw_json

Condition = Callable[[Sequence[str]], ColumnElement[bool]]

_LONGEST = 4096


def pairs(column: ColumnElement[Any]) -> Condition:
    """The filter ``metadata={'key': 'value'}``, over a column of JSON: rows that have all of the pairs."""

    def condition(texts: Sequence[str]) -> ColumnElement[bool]:
        wanted = _dictionary(texts[-1])
        text = raw_json(column)
        # keys and values are JSON's own texts, so what is looked for can't be inside of one
        parts = [
            text.contains(msgspec.json.encode({key: value}).decode()[1:-1], autoescape=True)
            for key, value in wanted.items()
        ]
        return and_(true(), *parts)

    return condition


def _dictionary(text: str) -> dict[str, str]:
    """A dictionary as Python or JSON writes it. Raises BadValue."""
    try:
        value = ast.literal_eval(text) if len(text) <= _LONGEST else None
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        value = None
    if not isinstance(value, dict) or not all(_is_text(str(one)) for pair in value.items() for one in pair):
        raise BadValue("not a dictionary", f"{text!r} is not of type 'object'", value=text)
    return {str(key): str(one) for key, one in value.items()}


def _is_text(text: str) -> bool:
    """Whether a text is whole: an escape may have made half of a letter."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def like(column: ColumnElement[Any]) -> Condition:
    """The filter ``name~=part``."""

    def condition(texts: Sequence[str]) -> ColumnElement[bool]:
        return column.contains(texts[-1], autoescape=True)

    return condition


_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "eq": operator.eq,
    "neq": operator.ne,
}


def moments(column: ColumnElement[Any]) -> Condition:
    """The filter ``created_at=gt:2020-01-01T00:00:00,lt:…``."""

    def condition(texts: Sequence[str]) -> ColumnElement[bool]:
        found: list[ColumnElement[bool]] = []
        for part in ",".join(texts).split(","):
            name, _, moment = part.partition(":")
            compare = _COMPARISONS.get(name)
            if compare is None:
                compare, moment = operator.eq, part
            found.append(compare(column, _moment(moment)))
        return and_(true(), *found)

    return condition


def _moment(text: str) -> dt.datetime:
    try:
        return parse_time(text)
    except ValueError:
        raise BadRequest(f"The value {text} of a time filter is no time.") from None
