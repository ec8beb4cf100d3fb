"""A small OVSDB in memory: transactions, garbage collection, indexes (RFC 7047, section 5.2).

It is what a simulated switch keeps its rows in. A transaction works on the rows
themselves and remembers what it touched, so that a failure restores them and a commit
knows what changed: its cost is that of the rows touched, not of the database.
"""

from __future__ import annotations

import operator
import uuid as uuids
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pileus.drivers.ovsdb.rows import Column, Named, Row, Schema, Shape

Touched = dict[tuple[str, str], tuple[Row | None, Row | None]]
"""(table, uuid) to the row before and after."""

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+=": operator.add,
    "-=": operator.sub,
    "*=": operator.mul,
    "/=": operator.floordiv,
    "%=": operator.mod,
}

_TYPES: dict[str, Any] = {
    "string": str,
    "uuid": str,
    "integer": int,
    "real": (int, float),
    "boolean": bool,
}


class Refused(Exception):
    """An operation or the commit breaks a rule; ``error`` is the RFC's word for it."""

    def __init__(self, error: str, details: str) -> None:
        self.error = error
        self.details = details
        super().__init__(f"{error}: {details}")


class Database:
    """Rows by table and UUID. ``listeners`` are called after each commit with what it touched."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.tables: dict[str, dict[str, Row]] = {table: {} for table in schema.tables}
        self.listeners: list[Callable[[Touched], None]] = []
        self._references: Counter[str] = Counter()
        self._indexed: dict[tuple[str, tuple[str, ...]], dict[Any, str]] = {
            (name, index): {} for name, table in schema.tables.items() for index in table.indexes
        }

    def transact(self, operations: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Run operations; their results as the wire has them, with an error row where it failed."""
        transaction = _Transaction(self)
        results: list[Any] = []
        try:
            for operation in operations:
                results.append(transaction.run(operation))  # noqa: PERF401 - kept where one fails
        except Refused as refusal:
            transaction.restore()
            results.append({"error": refusal.error, "details": refusal.details})
            return results + [None] * (len(operations) - len(results))
        try:
            touched = self._settle(transaction)
        except Refused as refusal:
            transaction.restore()
            return [*results, {"error": refusal.error, "details": refusal.details}]
        if touched:
            for listener in self.listeners:
                listener(touched)
        return results

    def find(self, table: str, **values: Any) -> Row | None:
        """The row whose columns have these values, through an index where there is one."""
        index = (table, tuple(values))
        if index in self._indexed:
            found = self._indexed[index].get(tuple(values.values()))
            return self.tables[table][found] if found else None
        for row in self.tables[table].values():
            if all(row[column] == value for column, value in values.items()):
                return row
        return None

    def _settle(self, transaction: _Transaction) -> Touched:
        """Resolve names, count references, collect garbage, check references and indexes."""
        transaction.resolve()
        before = transaction.before
        change: Counter[str] = Counter()
        rows = self.tables
        orphans: list[tuple[str, str]] = []

        def count(row: Row | None, table: str, step: int) -> None:
            for target_table, target in self._targets(table, row):
                change[target] += step
                if step < 0:
                    orphans.append((target_table, target))

        for (table, uuid), old in before.items():
            count(old, table, -1)
            count(rows[table].get(uuid), table, 1)
            orphans.append((table, uuid))
        while orphans:
            table, uuid = orphans.pop()
            row = rows[table].get(uuid)
            referred = self._references[uuid] + change[uuid] > 0
            if row is not None and not referred and not self.schema.tables[table].is_root:
                transaction.replace(table, uuid, None)
                count(row, table, -1)
        touched: Touched = {}
        for (table, uuid), old in before.items():
            new = rows[table].get(uuid)
            if old != new:
                touched[table, uuid] = (old, new)
            if new is None and old is not None and self._references[uuid] + change[uuid] > 0:
                raise Refused("referential integrity violation", f"{table} row {uuid} is still referred to")
            for target_table, target in self._targets(table, new):
                if target not in rows[target_table]:
                    raise Refused(
                        "referential integrity violation", f"{table} row {uuid} refers to no row {target}"
                    )
        self._index(touched)
        for uuid, step in change.items():
            self._references[uuid] += step
            if self._references[uuid] == 0:
                del self._references[uuid]
        return touched

    def _targets(self, table: str, row: Row | None) -> Iterator[tuple[str, str]]:
        if row is None:
            return
        for name, column in self.schema.tables[table].columns.items():
            if column.key_table is not None and column.strong:
                value = row[name]
                if column.shape in (Shape.SET, Shape.MAP):
                    for uuid in value:
                        yield column.key_table, uuid
                elif value is not None:
                    yield column.key_table, value
            if column.value_table is not None:
                for uuid in row[name].values():
                    yield column.value_table, uuid

    def _index(self, touched: Touched) -> None:
        removed: list[tuple[dict[Any, str], Any, str]] = []
        added: list[tuple[dict[Any, str], Any]] = []
        try:
            for rows_of in (0, 1):
                for (table, uuid), pair in touched.items():
                    row = pair[rows_of]
                    if row is None:
                        continue
                    for index in self.schema.tables[table].indexes:
                        entries = self._indexed[table, index]
                        key = tuple(row[column] for column in index)
                        if rows_of == 0:
                            removed.append((entries, key, entries.pop(key)))
                        elif key in entries:
                            raise Refused(
                                "constraint violation",
                                f"Transaction causes multiple rows in {table} table to have identical values "
                                f"({', '.join(map(str, key))}) for index on column {', '.join(index)}.",
                            )
                        else:
                            entries[key] = uuid
                            added.append((entries, key))
        except Refused:
            for entries, key in added:
                del entries[key]
            for entries, key, uuid in removed:
                entries[key] = uuid
            raise


class _Transaction:
    """The changes of one transaction so far."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._names: dict[str, str] = {}
        self.before: dict[tuple[str, str], Row | None] = {}

    def run(self, operation: Mapping[str, Any]) -> dict[str, Any]:
        match operation.get("op"):
            case "insert":
                return self._insert(operation)
            case "select":
                return self._select(operation)
            case "update":
                return self._update(operation)
            case "mutate":
                return self._mutate(operation)
            case "delete":
                chosen = self._where(operation)
                for row in chosen:
                    self.replace(operation["table"], row.uuid, None)
                return {"count": len(chosen)}
            case "wait":
                return self._wait(operation)
            case "comment" | "assert" | "commit":
                return {}
            case "abort":
                raise Refused("aborted", "aborted by request")
            case unknown:
                raise Refused("unknown operation", f"No operation {unknown!r}")

    def replace(self, table: str, uuid: str, row: Row | None) -> None:
        """Put a row, or take it away, remembering what was there first."""
        rows = self._database.tables[table]
        self.before.setdefault((table, uuid), rows.get(uuid))
        if row is None:
            rows.pop(uuid, None)
        else:
            rows[uuid] = row

    def restore(self) -> None:
        """Undo everything."""
        for (table, uuid), row in self.before.items():
            if row is None:
                self._database.tables[table].pop(uuid, None)
            else:
                self._database.tables[table][uuid] = row

    def resolve(self) -> None:
        """Names of inserted rows become their UUIDs, once all of the names are known."""
        for table, uuid in self.before:
            row = self._database.tables[table].get(uuid)
            if row is None:
                continue
            changes = {}
            for name, column in self._columns(table).items():
                if "uuid" in (column.key, column.value):
                    value = self._resolved(row[name])
                    if value is not row[name]:
                        changes[name] = value
            if changes:
                self._database.tables[table][uuid] = Row(uuid, row | changes)

    def _resolved(self, value: Any) -> Any:
        if isinstance(value, Named):
            try:
                return self._names[value]
            except KeyError:
                raise Refused("constraint violation", f"no row is named {value}") from None
        if isinstance(value, frozenset) and any(isinstance(one, Named) for one in value):
            return frozenset(self._resolved(one) for one in value)
        if isinstance(value, dict) and any(isinstance(one, Named) for pair in value.items() for one in pair):
            return {self._resolved(k): self._resolved(v) for k, v in value.items()}
        return value

    def _columns(self, table: str) -> dict[str, Column]:
        try:
            return self._database.schema.tables[table].columns
        except KeyError:
            raise Refused("syntax error", f"No table named {table}.") from None

    def _decoded(self, table: str, wire: Mapping[str, Any]) -> dict[str, Any]:
        columns = self._columns(table)
        values = {}
        for name, value in wire.items():
            column = columns.get(name)
            if column is None:
                raise Refused("unknown column", f"No column {name} in table {table}.")
            try:
                values[name] = column.decode(value)
            except (TypeError, ValueError, IndexError) as error:
                raise Refused("syntax error", f"{table}.{name}: {error}") from error
            self._check(table, name, column, values[name])
        return values

    @staticmethod
    def _check(table: str, name: str, column: Column, value: Any) -> None:
        many: Any = value if column.shape in (Shape.SET, Shape.MAP) else () if value is None else (value,)
        kind = _TYPES[column.key]
        for one in many:
            if not isinstance(one, kind) or (kind is int and isinstance(one, bool)):
                raise Refused("syntax error", f"{table}.{name}: {one!r} is not of type {column.key}")
            if column.enum is not None and one not in column.enum:
                raise Refused("constraint violation", f"{one} is not one of the allowed values of {name}")
            if (column.low is not None and one < column.low) or (
                column.high is not None and one > column.high
            ):
                raise Refused("constraint violation", f"{one} is not in the valid range of {table}.{name}")
        if column.shape is Shape.SET and len(many) < column.minimum:
            raise Refused("constraint violation", f"{table}.{name} needs {column.minimum} values or more")

    def _insert(self, operation: Mapping[str, Any]) -> dict[str, Any]:
        table = operation["table"]
        values = {name: column.default() for name, column in self._columns(table).items()}
        values |= self._decoded(table, operation.get("row", {}))
        uuid = operation.get("uuid") or str(uuids.uuid4())
        if (name := operation.get("uuid-name")) is not None:
            if name in self._names:
                raise Refused("duplicate uuid-name", f"This uuid-name appeared on an earlier insert: {name}")
            self._names[name] = uuid
        limit = self._database.schema.tables[table].max_rows
        if limit is not None and len(self._database.tables[table]) >= limit:
            raise Refused("constraint violation", f"Table {table} may have {limit} rows at most.")
        self.replace(table, uuid, Row(uuid, values))
        return {"uuid": ["uuid", uuid]}

    def _select(self, operation: Mapping[str, Any]) -> dict[str, Any]:
        columns = self._columns(operation["table"])
        chosen = operation.get("columns") or [*columns, "_uuid"]
        return {
            "rows": [
                {
                    name: ["uuid", row.uuid] if name == "_uuid" else columns[name].encode(row[name])
                    for name in chosen
                    if name in columns or name == "_uuid"
                }
                for row in self._where(operation)
            ]
        }

    def _update(self, operation: Mapping[str, Any]) -> dict[str, Any]:
        table = operation["table"]
        values = self._decoded(table, operation["row"])
        for name in values:
            if not self._columns(table)[name].mutable:
                raise Refused(
                    "constraint violation", f"Cannot update immutable column {name} in table {table}."
                )
        chosen = self._where(operation)
        for row in chosen:
            self.replace(table, row.uuid, Row(row.uuid, row | values))
        return {"count": len(chosen)}

    def _mutate(self, operation: Mapping[str, Any]) -> dict[str, Any]:
        table = operation["table"]
        columns = self._columns(table)
        chosen = self._where(operation)
        for row in chosen:
            new = Row(row.uuid, row)
            for name, mutator, wire in operation["mutations"]:
                if name not in columns:
                    raise Refused("unknown column", f"No column {name} in table {table}.")
                new[name] = self._mutated(columns[name], new[name], mutator, wire)
                self._check(table, name, columns[name], new[name])
            self.replace(table, row.uuid, new)
        return {"count": len(chosen)}

    def _mutated(self, column: Column, old: Any, mutator: str, wire: Any) -> Any:
        if mutator in _ARITHMETIC:
            step = _ARITHMETIC[mutator]
            try:
                return (
                    frozenset(step(one, wire) for one in old)
                    if column.shape is Shape.SET
                    else step(old, wire)
                )
            except ZeroDivisionError:
                raise Refused("domain error", "Division by zero.") from None
        if column.shape is Shape.MAP:
            if mutator == "insert":
                return column.decode(wire) | old  # an insert leaves keys that are there alone
            if isinstance(wire, list) and wire and wire[0] == "map":
                pairs = column.decode(wire)
                return {k: v for k, v in old.items() if k not in pairs or pairs[k] != v}
            keys = Column(Shape.SET, column.key).decode(wire)
            return {k: v for k, v in old.items() if k not in keys}
        many = Column(Shape.SET, column.key).decode(wire)
        if column.key == "uuid":
            many = frozenset(self._resolved_early(one) for one in many)
        if column.shape is Shape.SET:
            return old | many if mutator == "insert" else old - many
        if mutator == "insert":
            return next(iter(many), None) if old is None else old
        return None if old in many else old

    def _wait(self, operation: Mapping[str, Any]) -> dict[str, Any]:
        columns = self._columns(operation["table"])
        names = operation.get("columns") or list(columns)
        present = {
            tuple(_frozen(row.uuid if n == "_uuid" else row[n]) for n in names)
            for row in self._where(operation)
        }
        wanted = {
            tuple(
                _frozen(
                    wire[n][1]
                    if n == "_uuid"
                    else self._resolved_early(columns[n].decode(wire[n]))
                    if n in wire
                    else columns[n].default()
                )
                for n in names
            )
            for wire in operation["rows"]
        }
        if (present == wanted) != (operation.get("until", "==") == "=="):
            raise Refused("timed out", '"wait" timed out')
        return {}

    def _resolved_early(self, value: Any) -> Any:
        return self._names.get(value, value) if isinstance(value, Named) else value

    def _where(self, operation: Mapping[str, Any]) -> list[Row]:
        table = operation["table"]
        columns = self._columns(table)
        rows = self._database.tables[table]
        chosen: list[Row] | None = None
        for condition in operation.get("where", ()):
            if isinstance(condition, bool):
                chosen = [] if not condition else chosen
                continue
            name, function, wire = condition
            if name == "_uuid" and function == "==":
                uuid = self._names.get(wire[1], wire[1])
                row = rows.get(uuid)
                chosen = [one for one in ([row] if row else []) if chosen is None or one in chosen]
                continue
            if name != "_uuid" and name not in columns:
                raise Refused("unknown column", f"No column {name} in table {table}.")
            candidates = rows.values() if chosen is None else chosen
            if name == "_uuid":
                chosen = [row for row in candidates if (row.uuid == wire[1]) == (function == "includes")]
                continue
            wanted = columns[name].decode(wire)
            chosen = [row for row in candidates if _holds(columns[name], row[name], function, wanted)]
        return list(rows.values()) if chosen is None else chosen


def _holds(column: Column, value: Any, function: str, wanted: Any) -> bool:
    if function in _COMPARE:
        return value is not None and _COMPARE[function](value, wanted)
    if function in ("==", "!="):
        return bool(value == wanted) == (function == "==")
    if function not in ("includes", "excludes"):
        raise Refused("unknown function", f"No function named {function}.")
    if column.shape is Shape.SET:
        return wanted <= value if function == "includes" else not (wanted & value)
    if column.shape is Shape.MAP:
        shared = wanted.items() & value.items()
        return len(shared) == len(wanted) if function == "includes" else not shared
    if function == "includes":
        return wanted is None or value == wanted
    return wanted is None or value != wanted


def _frozen(value: Any) -> Any:
    return frozenset(value.items()) if isinstance(value, dict) else value
