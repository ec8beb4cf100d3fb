"""Conditions on hosts in the ``query`` hint, as Nova's JsonFilter has them: ``[">=", "$free_ram_mb", 1024]``.

Pure. A condition is a list of an operator and its arguments; a text that begins with ``$`` names a fact of
the host. Bounds keep what a stranger writes small.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

LONGEST, DEEPEST = 4096, 16

_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_JOIN: Mapping[str, Callable[[Any], bool]] = {"and": all, "or": any}
OPERATORS = (*_COMPARE, "in", "not", *_JOIN)


class BadQuery(ValueError):
    """It can't be read as a condition."""


def read_query_hint(text: str) -> Any:
    """The condition in a hint. Raises BadQuery."""
    if len(text) > LONGEST:
        raise BadQuery(f"it has more than {LONGEST} characters")
    try:
        query = msgspec.json.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BadQuery("it is no JSON") from error
    _check(query, DEEPEST)
    return query


def _check(query: Any, depth: int) -> None:
    if not isinstance(query, list) or not query or query[0] not in OPERATORS:
        raise BadQuery(f"a condition is a list that begins with one of {', '.join(OPERATORS)}")
    if depth == 0:
        raise BadQuery("it is nested too deeply")
    name, *arguments = query
    if name in ("not", *_JOIN):
        if not arguments:
            raise BadQuery(f"{name} has conditions")
        for one in arguments:
            _check(one, depth - 1)
    elif len(arguments) < 2 or not all(isinstance(one, (str, int, float)) for one in arguments):
        raise BadQuery(f"{name} has a value, and values that it is compared with")


def holds(query: Any, facts: Mapping[str, Any]) -> bool:
    """Whether a condition that was read is true of a host; one that can't be compared is not."""
    name, *arguments = query
    if name in _JOIN:
        return _JOIN[name](holds(one, facts) for one in arguments)
    if name == "not":
        return not any(holds(one, facts) for one in arguments)
    first, *others = (_value(one, facts) for one in arguments)
    if first is None:
        return False
    if name == "in":
        return first in others
    try:
        return all(_COMPARE[name](first, one) for one in others)
    except TypeError:
        return False


def _value(argument: Any, facts: Mapping[str, Any]) -> Any:
    if isinstance(argument, str) and argument.startswith("$"):
        return facts.get(argument[1:])
    return argument
