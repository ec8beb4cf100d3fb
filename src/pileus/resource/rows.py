"""Rows of a resource: which columns and loaders its attributes need, and values for units of work.

A :class:`Plan` is made once for a resource and a tuple of attribute names: the
columns to select, the loaders to ask (one statement each for all rows), what
has to be turned into JSON. JSON columns go from the database into the reply as
the text they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, bindparam, select

from pileus.core.context import Context
from pileus.resource.declaration import Loader, Resource, Seen, Values
from pileus.store.column_in import FEW, column_in
from pileus.store.kept import kept
from pileus.store.schema import JsonText, raw_json
from pileus.store.tx import Tx


class Plan:
    """How rows of a resource become dictionaries. ``hidden_key``: the key is read for the loaders only."""

    __slots__ = (
        "aliases",
        "columns",
        "computed",
        "converters",
        "hidden_key",
        "key_index",
        "loaders",
        "names",
        "omitted",
        "seen",
    )

    def __init__(self, resource: Resource, names: Sequence[str], *, as_json: bool) -> None:
        attributes = [resource.attributes[name] for name in names]
        self.names: list[str] = []
        self.columns: list[ColumnElement[Any]] = []
        self.seen: list[tuple[int, Seen]] = []
        self.loaders: list[tuple[str, Loader, Any]] = [
            (one.name, one.loader, one.empty) for one in attributes if one.loader
        ]
        self.computed: list[tuple[str, Callable[[Mapping[str, Any]], Any]]] = [
            (one.name, one.compute) for one in attributes if one.compute and as_json
        ]
        self.converters: list[tuple[str, Callable[[Any], Any]]] = []
        self.aliases = [(one.alias, one.name) for one in attributes if one.alias] if as_json else []
        self.omitted = [one.name for one in attributes if one.omitted] if as_json else []
        for one in attributes:
            column = resource.columns.get(one.name)
            if column is None:
                if as_json and one.type.show:
                    self.converters.append((one.name, one.type.show))
                continue
            if as_json and isinstance(column.type, JsonText) and not one.type.show:
                column = raw_json(column)
                self.converters.append((one.name, _raw))
            elif as_json and one.type.show:
                self.converters.append((one.name, one.type.show))
            if one.seen:
                self.seen.append((len(self.columns), one.seen))
            self.names.append(one.name)
            self.columns.append(column)
        self.hidden_key = resource.key not in self.names and resource.key in resource.columns
        if self.hidden_key:
            self.names.append(resource.key)
            self.columns.append(resource.columns[resource.key])
        self.key_index = self.names.index(resource.key) if resource.key in self.names else 0

    def columns_for(self, context: Context) -> list[ColumnElement[Any]]:
        """The columns to select for a view: what depends on who looks is as the caller sees it."""
        if not self.seen:
            return self.columns
        columns = list(self.columns)
        for at, see in self.seen:
            columns[at] = see(context)
        return columns

    def load(self, tx: Tx, rows: Sequence[Any]) -> list[tuple[str, Mapping[str, Any], Any]]:
        """Ask the loaders about all rows at once: name, values by key, and what stands for none."""
        if not self.loaders or not rows:
            return []
        keys = self.keys(rows)
        return [(name, loader(tx, keys), empty) for name, loader, empty in self.loaders]

    def keys(self, rows: Sequence[Any]) -> list[str]:
        """The keys of the rows."""
        at = self.key_index
        return [row[at] for row in rows]

    def dictionaries(
        self, rows: Sequence[Any], loaded: Sequence[tuple[str, Mapping[str, Any], Any]]
    ) -> list[dict[str, Any]]:
        """The rows as dictionaries with what the loaders knew; the key is among them."""
        names = self.names
        made = [dict(zip(names, row, strict=True)) for row in rows]
        if loaded:
            keys = self.keys(rows)
            for name, values, empty in loaded:
                get = values.get
                for key, one in zip(keys, made, strict=True):
                    one[name] = get(key, empty)
        return made

    def finish(self, made: list[dict[str, Any]], key: str) -> None:
        """Turn dictionaries of values into those of JSON, in place."""
        for name, compute in self.computed:
            for one in made:
                one[name] = compute(one)
        for name, convert in self.converters:
            for one in made:
                value = one[name]
                if value is not None:
                    one[name] = convert(value)
        for alias, name in self.aliases:
            for one in made:
                one[alias] = one[name]
        for name in self.omitted:
            for one in made:
                if one[name] is None:
                    del one[name]
        if self.hidden_key:
            for one in made:
                del one[key]


def _raw(text: Any) -> Any:
    return msgspec.Raw(text) if isinstance(text, str) else text


def plan(resource: Resource, names: tuple[str, ...], *, as_json: bool) -> Plan:
    """The plan for these attributes, kept on the resource."""
    known: Plan | None = resource.plans.get((names, as_json))
    if known is None:
        if len(resource.plans) > 500:  # clients choose `fields`; keep what they can make us remember bounded
            resource.plans.clear()
        known = resource.plans[(names, as_json)] = Plan(resource, names, as_json=as_json)
    return known


def _stored(resource: Resource) -> Plan:
    """The plan of everything that units of work are given."""
    known: Plan | None = resource.plans.get("stored")
    if known is None:
        names = tuple(name for name, one in resource.attributes.items() if not one.view_only)
        known = resource.plans["stored"] = Plan(resource, names, as_json=False)
    return known


def _fetch_few(
    tx: Tx, resource: Resource, wanted: Plan, visible: ColumnElement[bool] | None, *, lock: bool
) -> Select[Any]:
    """The statement that fetches by a few keys and what is visible, kept: most units begin with it."""

    def make() -> Select[Any]:
        few = resource.columns[resource.key].in_(bindparam("few_keys", expanding=True))
        return _fetching(tx, resource, wanted, [few] if visible is None else [few, visible], lock=lock)

    return kept(("fetch", tx.dialect, lock), (resource, wanted, visible), make)


def _fetching(
    tx: Tx, resource: Resource, wanted: Plan, conditions: Sequence[ColumnElement[bool]], *, lock: bool
) -> Select[Any]:
    statement = select(*wanted.columns).select_from(resource.source).where(*conditions)
    if not lock:
        return statement
    # PostgreSQL locks no row of an outer join's optional side; MariaDB has no OF
    return statement.with_for_update(of=resource.table if tx.dialect == "postgresql" else None)


def fetch(
    tx: Tx,
    resource: Resource,
    keys: Sequence[str] | None = None,
    where: Iterable[ColumnElement[bool]] = (),
    *,
    lock: bool = False,
    bare: bool = False,
    visible: ColumnElement[bool] | None = None,
) -> list[Values]:
    """The values of all attributes that are stored, for units of work; ``lock`` takes the rows FOR UPDATE.
    ``bare``: without those that loaders know, a statement each. ``visible`` is a condition of
    the policy's, or one that is always the same: one object for each request of a caller.

    Raises RuntimeError when a unit that only reads wants a lock: SQLite would not tell, others would refuse.
    """
    if lock and tx.read_only:
        raise RuntimeError(f"a unit that only reads locks rows of {resource.name}")
    wanted = _stored(resource)
    conditions = list(where)
    if keys is not None and len(keys) <= FEW and not conditions:
        rows = tx.rows(_fetch_few(tx, resource, wanted, visible, lock=lock), {"few_keys": list(keys)})
    else:
        if keys is not None:
            conditions.append(column_in(tx, resource.columns[resource.key], keys))
        if visible is not None:
            conditions.append(visible)
        rows = tx.rows(_fetching(tx, resource, wanted, conditions, lock=lock))
    return [Values(one) for one in wanted.dictionaries(rows, () if bare else wanted.load(tx, rows))]
