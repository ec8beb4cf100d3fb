"""Microversions as values, and windows of them."""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

_FORM = re.compile(r"([1-9]\d*)\.(0|[1-9]\d*)")


class Version(NamedTuple):
    """A microversion, comparable."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


def parse(text: str) -> Version:
    """Read ``2.95`` as a Version; raises ValueError."""
    found = _FORM.fullmatch(text)
    if not found:
        raise ValueError(text)
    return Version(int(found[1]), int(found[2]))


_known = functools.cache(parse)  # for the versions that declarations name


def within(window: tuple[str, str], version: Version | None) -> bool:
    """Whether a version is in a window, both ends included, ``""`` for open; no version is in all of them."""
    first, last = window
    return version is None or (
        (not first or _known(first) <= version) and (not last or version <= _known(last))
    )
