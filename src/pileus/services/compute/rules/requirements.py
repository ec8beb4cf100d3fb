"""Requirements in extra specs (``>= 4``, ``<in> avx``, ``<or> a <or> b``), as Nova's. Pure."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping

_NUMBERS: Mapping[str, Callable[[float, float], bool]] = {
    "=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
}
_TEXTS: Mapping[str, Callable[[str, str], bool]] = {
    "s==": operator.eq,
    "s!=": operator.ne,
    "s<": operator.lt,
    "s<=": operator.le,
    "s>": operator.gt,
    "s>=": operator.ge,
}


def meets(value: str, required: str) -> bool:
    """Whether a value is as required; a text without an operator has to be the same."""
    words = required.split()
    method = words[0] if words else ""
    if method == "<or>":
        return value in words[1::2]
    if method == "<in>":
        return all(word in value for word in words[1::2])
    if method == "<all-in>":
        return all(word in value for word in words[1:])
    if method in _TEXTS and len(words) == 2:
        return _TEXTS[method](value, words[1])
    if method in _NUMBERS and len(words) == 2:
        try:
            return _NUMBERS[method](float(value), float(words[1]))
        except ValueError:
            return False
    return value == required
