"""Statements that are kept because they are made of the same objects again and again.

To make a SELECT and to find its compiled form takes SQLAlchemy ten times as long as SQLite takes to answer
it. One that is kept has a plan from its second run on (``plans.py``). Conditions can't be compared, so what a
statement is made of is known by identity.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from sqlalchemy import Select

MOST = 2048
"""So many are kept; then all are forgotten."""

_KEPT: dict[Hashable, tuple[Sequence[object], Select[Any]]] = {}


def kept(kind: Hashable, parts: Sequence[object], make: Callable[[], Select[Any]]) -> Select[Any]:
    """The statement of these objects, made where it is not known. ``kind`` says which of all that can be
    made of them. Objects that are made for one request have no place among ``parts``."""
    key = kind, tuple(map(id, parts))
    known = _KEPT.get(key)
    # An id is given again when its object is gone, so the objects are held.
    if known is None or any(held is not part for held, part in zip(known[0], parts, strict=True)):
        if len(_KEPT) >= MOST:
            _KEPT.clear()
        known = _KEPT[key] = parts, make()
    return known[1]
