"""A statement that is read for everything, or for some ids alone: kept in both forms, for plans."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Executable, Row, Select

from pileus.store.column_in import listed
from pileus.store.tx import Executed, Tx

_WANTED = "wanted_ids"

Only = Callable[[ColumnElement[Any]], tuple[ColumnElement[bool], ...]]
"""The condition that a column is one of the ids that are wanted; none where everything is."""


class Narrowed:
    """Both forms of what ``make(only)`` returns; for a database only those that it is asked for."""

    def __init__(self, make: Callable[[Only], Executable]) -> None:
        self._make = make
        self._whole = make(lambda column: ())
        self._some: dict[str, Executable] = {}

    def rows(self, tx: Tx, here: Mapping[str, Any], wanted: Collection[str] | None) -> list[Row[Any]]:
        """All rows, or those of the ids that are wanted; ``here`` has the statement's own parameters."""
        if wanted is None:
            return tx.rows(self._whole, here)
        return tx.rows(self._for(tx.dialect), {**here, _WANTED: list(wanted)})

    def first(self, tx: Tx, here: Mapping[str, Any], wanted: Collection[str]) -> Row[Any] | None:
        """The first row of the ids that are wanted."""
        return tx.first(self._for(tx.dialect), {**here, _WANTED: list(wanted)})

    def execute(self, tx: Tx, parameters: Mapping[str, Any], wanted: Collection[str]) -> Executed:
        """Run a statement that changes the rows of these ids."""
        return tx.execute(self._for(tx.dialect), {**parameters, _WANTED: list(wanted)})

    def _for(self, dialect: str) -> Executable:
        some = self._some.get(dialect)
        if some is None:
            some = self._some[dialect] = self._make(lambda column: (listed(dialect, column, _WANTED),))
        return some


def narrowed(statement: Select[Any], column: ColumnElement[Any]) -> Narrowed:
    """A SELECT, and the column that tells whose a row is."""
    return Narrowed(lambda only: statement.where(*only(column)))
