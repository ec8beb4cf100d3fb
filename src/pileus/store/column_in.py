"""``column IN (many ids)`` for loaders: one parameter however many ids there are.

A list of 5,000 ports asks each child table for 5,000 ids. As 5,000 parameters that
is a statement compiled anew each time, and PostgreSQL takes no more than 65,535 of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Integer,
    String,
    any_,
    bindparam,
    func,
    literal,
    select,
)

from pileus.store.schema import JsonText
from pileus.store.tx import Tx

FEW = 50

_encode = msgspec.json.Encoder().encode


def column_in(tx: Tx, column: ColumnElement[Any], ids: Sequence[str]) -> ColumnElement[bool]:
    """Rows whose column is one of the ids."""
    if len(ids) == 1:
        return column == ids[0]
    if len(ids) <= FEW or tx.dialect == "mysql":
        return column.in_(ids)
    if tx.dialect == "postgresql":
        return column == any_(literal(list(ids), _array_of(column)))
    each = func.json_each(_encode(list(ids)).decode()).table_valued("value")
    return column.in_(select(each.c.value))


def _array_of(column: ColumnElement[Any]) -> ARRAY[Any]:
    return ARRAY(BigInteger() if isinstance(column.type, Integer) else String())


def listed(dialect: str, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Rows whose column is one of the ids that a parameter lists: for statements that are kept, one for each
    dialect. Their text is the same for any number of ids, except on MariaDB."""
    if dialect == "mysql":
        return column.in_(bindparam(name, expanding=True))
    if dialect == "postgresql":
        return column == any_(bindparam(name, type_=_array_of(column)))
    each = func.json_each(bindparam(name, type_=JsonText())).table_valued("value")
    return column.in_(select(each.c.value))
