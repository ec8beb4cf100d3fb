"""Run statements that come again and again without SQLAlchemy's work for each run.

SQLAlchemy takes 50 to 150 µs for a statement that SQLite answers in 5: it finds the compiled form, gathers
values, expands lists, makes a context and a result. A *plan* keeps what all of that comes to: the text, where
each parameter's value is from, and what turns values into the driver's and back. Text, types and rows are
SQLAlchemy's own, and it runs whatever a plan can't.

Only statements that are kept get one: the second time that the same object is run. Those that are made for
one run are never seen twice, and a plan goes with its statement.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import CompoundSelect, Connection, Dialect, Executable, Row, Select, Table, TupleType
from sqlalchemy.engine import result_tuple
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.types import TypeEngine

LONGEST_LIST = 64
"""Values of one list in a text that is kept; longer ones come in too many lengths."""
TEXTS = 32
"""Texts of one statement: a list of each length has its own."""

_MISSING: Final = object()
_Processor = Callable[[Any], Any] | None


class Unfit(Exception):
    """Something that only SQLAlchemy itself can run."""


class _Place(NamedTuple):
    """Where the value of a parameter in the text is from: a name, and for lists the number in it."""

    name: str
    source: str
    number: int | None
    process: _Processor


class _Source(NamedTuple):
    """A parameter as units of work name it."""

    name: str
    key: str
    default: Any
    is_list: bool


class _Text:
    """A text with its parameters, for lists of certain lengths."""

    def __init__(self, sql: str, places: Iterable[_Place], *, positional: bool) -> None:
        self.sql = sql
        self._places = tuple(places)
        self._positional = positional

    def arguments(self, values: Mapping[str, Any]) -> Any:
        """Turn values into those that the driver is given."""
        found = []
        for _, source, number, process in self._places:
            value = values[source] if number is None else values[source][number]
            found.append(value if process is None else process(value))
        if self._positional:
            return tuple(found)
        return {place.name: value for place, value in zip(self._places, found, strict=True)}


class _Prepared:
    """One statement, for one dialect. Raises Unfit."""

    def __init__(self, compiled: Any, dialect: Dialect) -> None:
        self._dialect = dialect
        self._compiled = _compiled(compiled)
        self._sources = [_source(bind, name) for bind, name in self._compiled.bind_names.items()]
        self._lists = [one.name for one in self._sources if one.is_list]
        self._texts: dict[tuple[int, ...], _Text] = {}

    def bound(self, parameters: Mapping[str, Any]) -> tuple[str, Any]:
        """Text and arguments for a run. Raises Unfit."""
        values: dict[str, Any] = {}
        for name, key, default, is_list in self._sources:
            value = parameters.get(key, default)
            if value is _MISSING:
                raise Unfit
            values[name] = list(value) if is_list else value
        lengths = tuple([len(values[name]) for name in self._lists])
        text = self._texts.get(lengths)
        if text is None:
            if len(self._texts) >= TEXTS or any(length > LONGEST_LIST for length in lengths):
                raise Unfit
            text = self._texts[lengths] = self._text(values)
        return text.sql, text.arguments(values)

    def _text(self, values: Mapping[str, Any]) -> _Text:
        compiled = self._compiled
        if not self._lists:
            names = compiled.positiontup if compiled.positional else [one.name for one in self._sources]
            places = [_Place(name, name, None, self._processor(name)) for name in names or ()]
            return _Text(compiled.string, places, positional=compiled.positional)
        given = {one.key: values[one.name] for one in self._sources}
        state = compiled.construct_expanded_state(given, escape_names=False)
        members = {
            name: (of_list, number)
            for of_list, expanded in state.parameter_expansion.items()
            for number, name in enumerate(expanded)
        }
        order = state.positiontup if state.positiontup is not None else list(state.parameters)
        places = []
        for name in order:
            source, number = members.get(name, (name, None))
            places.append(_Place(name, source, number, self._processor(source)))
        return _Text(state.statement, places, positional=compiled.positional)

    def _processor(self, name: str) -> _Processor:
        return _binding(self._compiled.binds[name].type, self._dialect)


class Plan(_Prepared):
    """A SELECT."""

    def __init__(self, statement: Select[Any] | CompoundSelect[Any], dialect: Dialect) -> None:
        super().__init__(statement.compile(dialect=dialect), dialect)
        self._types = [column.type for column in statement.selected_columns]
        self._make: Callable[[Any], Row[Any]] | None = None

    def maker(self, description: Sequence[Sequence[Any]]) -> Callable[[Any], Row[Any]]:
        """A function that makes a row of what the driver returns."""
        if self._make is None:
            if len(description) != len(self._types):
                raise RuntimeError("a statement returns other columns than it selects")
            processors: list[_Processor] = [
                kind.dialect_impl(self._dialect).result_processor(self._dialect, column[1])
                for kind, column in zip(self._types, description, strict=True)
            ]
            made: Any = result_tuple([column[0] for column in description])
            parent, _, index = made.args
            self._make = partial(made.func, parent, processors if any(processors) else None, index)
        return self._make


class Change(_Prepared):
    """An INSERT, UPDATE or DELETE that returns no rows, given parameters with certain names."""

    def __init__(self, statement: UpdateBase, names: Sequence[str], dialect: Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect, column_keys=list(names))
        super().__init__(compiled, dialect)
        if compiled.insert_prefetch or compiled.update_prefetch or compiled.effective_returning:
            raise Unfit  # it has defaults that Python computes, or returns rows

    def many(self, several: Sequence[Mapping[str, Any]]) -> tuple[str, list[Any]]:
        """Text and arguments for a run with each of these. Raises Unfit."""
        if self._lists:
            raise Unfit
        found = [self.bound(one) for one in several]
        return found[0][0], [arguments for _, arguments in found]


class Insertion:
    """Rows with certain keys into one table, for one dialect."""

    def __init__(self, table: Table, keys: Sequence[str], dialect: Dialect) -> None:
        compiled = _compiled(table.insert().inline().compile(dialect=dialect, column_keys=list(keys)))
        if compiled.insert_prefetch or set(compiled.binds) != set(keys):
            raise Unfit  # it has defaults that Python computes
        names = compiled.positiontup if compiled.positional else list(keys)
        self._text = _Text(
            compiled.string,
            [_Place(name, name, None, _binding(compiled.binds[name].type, dialect)) for name in names or ()],
            positional=compiled.positional,
        )
        self.sql = compiled.string

    def arguments(self, row: Mapping[str, Any]) -> Any:
        """Turn a row into the values that the driver is given."""
        return self._text.arguments(row)


class Plans:
    """The plans of one engine. Used by several threads at once: at worst two make the same plan."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._known: WeakKeyDictionary[Executable, Plan | bool] = WeakKeyDictionary()
        self._changes: WeakKeyDictionary[Executable, dict[tuple[str, ...], Change | None]] = (
            WeakKeyDictionary()
        )
        self._insertions: dict[tuple[Table, tuple[str, ...]], Insertion | None] = {}

    def of(self, statement: Executable) -> Plan | None:
        """The plan of a statement that is kept, if it has one by now."""
        known = self._known.get(statement)
        if isinstance(known, Plan):
            return known
        if known is None:
            self._known[statement] = True  # seen once
        elif known:
            self._known[statement] = False  # where it turns out to be unfit
            if isinstance(statement, Select | CompoundSelect):
                with contextlib.suppress(Unfit):
                    plan = self._known[statement] = Plan(statement, self._dialect)
                    return plan
        return None

    def change(self, statement: UpdateBase, names: Iterable[str]) -> Change | None:
        """The plan of a statement that changes rows, given parameters of these names; if it is kept and has
        one."""
        known = self._changes.get(statement)
        if known is None:
            self._changes[statement] = {}  # seen once
            return None
        key = tuple(names)
        if key not in known:
            if len(known) >= TEXTS:
                return None
            known[key] = None  # where it turns out to be unfit
            with contextlib.suppress(Unfit):
                known[key] = Change(statement, key, self._dialect)
        return known[key]

    def insertion(self, table: Table, row: Mapping[str, Any]) -> Insertion | None:
        """How rows with the keys of this one are inserted, unless only SQLAlchemy can."""
        key = table, tuple(row)
        if key not in self._insertions:
            self._insertions[key] = None
            with contextlib.suppress(Unfit):
                self._insertions[key] = Insertion(*key, self._dialect)
        return self._insertions[key]


def run(connection: Connection, sql: str, arguments: Any, *, many: bool = False) -> Any:
    """Run a text on the driver's connection; the driver's errors are raised as SQLAlchemy's own."""
    cursor = None
    try:
        raw: Any = connection.connection.dbapi_connection
        cursor = raw.cursor()
        if many:
            cursor.executemany(sql, arguments)
        else:
            cursor.execute(sql, arguments)
    except BaseException as error:
        fail(connection, error, sql, cursor)
    return cursor


def fail(connection: Connection, error: BaseException, sql: str, cursor: Any) -> None:
    """Raise a driver's error as SQLAlchemy does (a connection that is lost leaves the pool, too)."""
    connection._handle_dbapi_exception(error, sql, None, cursor, None)


def _compiled(compiled: Any) -> SQLCompiler:
    if (
        not isinstance(compiled, SQLCompiler)
        or compiled.literal_execute_params
        or compiled.escaped_bind_names
    ):
        raise Unfit
    return compiled


def _source(bind: Any, name: str) -> _Source:
    if bind.callable is not None or isinstance(bind.type, TupleType):
        raise Unfit
    default = _MISSING if bind.required else bind.value
    return _Source(name, bind.key, default, bind.expanding)


def _binding(kind: TypeEngine[Any], dialect: Dialect) -> _Processor:
    return kind.dialect_impl(dialect).bind_processor(dialect)
