"""OVSDB's values, columns and rows as Python values (RFC 7047, sections 3.2 and 5.1).

A column with exactly one value is that value, one with at most one is the value or
None, a set is a frozenset, a map a dict. A UUID is its text: the schema tells it
apart from a string.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

ZERO_UUID = "00000000-0000-0000-0000-000000000000"
_DEFAULTS: dict[str, Any] = {"string": "", "integer": 0, "real": 0.0, "boolean": False, "uuid": ZERO_UUID}


class Shape(enum.Enum):
    """How many values a column holds, which decides its Python form."""

    ONE = "one"
    OPTIONAL = "optional"
    SET = "set"
    MAP = "map"


class Named(str):
    """The name of a row that the same transaction inserts, where a UUID is expected."""

    __slots__ = ()


class Column(msgspec.Struct, frozen=True):
    """A column's type. ``key`` and ``value`` are base types; ``*_table`` says what a uuid refers to."""

    shape: Shape
    key: str
    value: str | None = None
    key_table: str | None = None
    value_table: str | None = None
    minimum: int = 0
    strong: bool = True
    enum: frozenset[str] | None = None
    mutable: bool = True
    low: int | None = None
    high: int | None = None

    @classmethod
    def parse(cls, declaration: Mapping[str, Any]) -> Column:
        """A column from a schema's JSON."""
        kind = declaration["type"]
        if isinstance(kind, str):
            kind = {"key": kind}
        key = kind["key"] if isinstance(kind["key"], dict) else {"type": kind["key"]}
        value = kind.get("value")
        if isinstance(value, str):
            value = {"type": value}
        minimum, maximum = kind.get("min", 1), kind.get("max", 1)
        if value is not None:
            shape = Shape.MAP
        elif maximum != 1:
            shape = Shape.SET
        else:
            shape = Shape.ONE if minimum == 1 else Shape.OPTIONAL
        return cls(
            shape=shape,
            key=key["type"],
            value=value["type"] if value else None,
            key_table=key.get("refTable"),
            value_table=value.get("refTable") if value else None,
            minimum=minimum,
            strong=key.get("refType", "strong") == "strong",
            enum=frozenset(key["enum"][1]) if "enum" in key and key["enum"][0] == "set" else None,
            mutable=declaration.get("mutable", True),
            low=key.get("minInteger"),
            high=key.get("maxInteger"),
        )

    def default(self) -> Any:
        """The column's value in a row that does not say."""
        match self.shape:
            case Shape.ONE:
                return _DEFAULTS[self.key]
            case Shape.OPTIONAL:
                return None
            case Shape.SET:
                return frozenset()
            case Shape.MAP:
                return {}

    def decode(self, wire: Any) -> Any:
        """From JSON to the Python form. A lone value is a set of one, as the RFC allows."""
        match self.shape:
            case Shape.MAP:
                uuid_key, uuid_value = self.key == "uuid", self.value == "uuid"
                if not uuid_key and not uuid_value:
                    return dict(wire[1])
                return {_atom(k, uuid_key): _atom(v, uuid_value) for k, v in wire[1]}
            case Shape.ONE:
                return _atom(wire, self.key == "uuid")
            case _:
                uuid = self.key == "uuid"
                many = wire[1] if isinstance(wire, list) and wire[0] == "set" else (wire,)
                values = [_atom(one, uuid) for one in many] if uuid else many
                if self.shape is Shape.SET:
                    return frozenset(values)
                return values[0] if values else None

    def encode(self, value: Any) -> Any:
        """From the Python form to JSON. ``Named`` becomes a reference within the transaction."""
        match self.shape:
            case Shape.ONE:
                return _wire(value, self.key)
            case Shape.OPTIONAL:
                return ["set", []] if value is None else _wire(value, self.key)
            case Shape.SET:
                return ["set", [_wire(one, self.key) for one in sorted(value)]]
            case Shape.MAP:
                pairs = sorted(value.items())
                return ["map", [[_wire(k, self.key), _wire(v, self.value or "")] for k, v in pairs]]

    def difference(self, old: Any, new: Any) -> Any:
        """The value that a ``modify`` of update2 carries (ovsdb-server(7), 4.1.14)."""
        match self.shape:
            case Shape.SET:
                return old ^ new
            case Shape.MAP:
                changed = {k: v for k, v in new.items() if old.get(k) != v or k not in old}
                return changed | {k: v for k, v in old.items() if k not in new}
            case _:
                return new

    def patched(self, old: Any, difference: Any) -> Any:
        """The reverse of ``difference``: the new value."""
        match self.shape:
            case Shape.SET:
                return old ^ difference
            case Shape.MAP:
                new = dict(old)
                for key, value in difference.items():
                    if key in new and new[key] == value:
                        del new[key]
                    else:
                        new[key] = value
                return new
            case _:
                return difference


def _atom(wire: Any, uuid: bool) -> Any:
    if not uuid:
        return wire
    return Named(wire[1]) if wire[0] == "named-uuid" else wire[1]


def _wire(value: Any, kind: str) -> Any:
    if kind != "uuid":
        return value
    return ["named-uuid" if isinstance(value, Named) else "uuid", str(value)]


class Row(dict[str, Any]):
    """One row: column to value. It is not changed once it is made; an update makes a new one."""

    __slots__ = ("uuid",)

    def __init__(self, uuid: str, values: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        super().__init__(values)
        self.uuid = uuid


class Table(msgspec.Struct, frozen=True):
    """A table's columns, whether its rows live without a reference, and its unique columns."""

    columns: dict[str, Column]
    is_root: bool = False
    indexes: tuple[tuple[str, ...], ...] = ()
    max_rows: int | None = None


class Schema(msgspec.Struct, frozen=True):
    """A database's schema, as ``get_schema`` gives it."""

    name: str
    version: str
    tables: dict[str, Table]

    @classmethod
    def parse(cls, declaration: Mapping[str, Any]) -> Schema:
        """From the JSON of RFC 7047, section 3.2."""
        return cls(
            name=declaration["name"],
            version=declaration["version"],
            tables={
                name: Table(
                    columns={c: Column.parse(d) for c, d in table["columns"].items()},
                    is_root=table.get("isRoot", False),
                    indexes=tuple(tuple(index) for index in table.get("indexes", ())),
                    max_rows=table.get("maxRows"),
                )
                for name, table in declaration["tables"].items()
            },
        )
