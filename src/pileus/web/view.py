"""From rows to JSON: attributes are chosen once per request, rows then go through in batches.

A :class:`Plan` is made once for a resource and a tuple of attribute names: the
columns to select, the loaders to ask (one statement each for all rows), what
has to be turned into JSON. JSON columns go from the database into the reply as
the text they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import ColumnElement, Select, select

from pileus.store.schema import JsonText, raw_json
from pileus.store.tx import Tx
from pileus.web.among import among
from pileus.web.reply import encode
from pileus.web.resource import Loader, Resource, Values

if TYPE_CHECKING:
    from pileus.web.request import Request

CHUNK_ROWS = 250


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
    )

    def __init__(self, resource: Resource, names: Sequence[str], *, as_json: bool) -> None:
        attributes = [resource.attributes[name] for name in names]
        self.names: list[str] = []
        self.columns: list[ColumnElement[Any]] = []
        self.loaders: list[tuple[str, Loader, Any]] = [
            (one.name, one.loader, one.empty) for one in attributes if one.loader
        ]
        self.computed: list[tuple[str, Callable[[Mapping[str, Any]], Any]]] = [
            (one.name, one.compute) for one in attributes if one.compute and as_json
        ]
        self.converters: list[tuple[str, Callable[[Any], Any]]] = []
        self.aliases = [(one.alias, one.name) for one in attributes if one.alias] if as_json else []
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
            self.names.append(one.name)
            self.columns.append(column)
        self.hidden_key = resource.key not in self.names and resource.key in resource.columns
        if self.hidden_key:
            self.names.append(resource.key)
            self.columns.append(resource.columns[resource.key])
        self.key_index = self.names.index(resource.key) if resource.key in self.names else 0

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


def fetch(
    tx: Tx,
    resource: Resource,
    keys: Sequence[str] | None = None,
    where: Iterable[ColumnElement[bool]] = (),
    *,
    lock: bool = False,
) -> list[Values]:
    """The values of all attributes that are stored, for units of work; ``lock`` takes the rows FOR UPDATE."""
    wanted = plan(resource, tuple(resource.attributes), as_json=False)
    statement: Select[Any] | None = resource.plans.get("fetch")
    if statement is None:
        statement = resource.plans["fetch"] = select(*wanted.columns).select_from(resource.source)
    if keys is not None:
        column = resource.columns[resource.key]
        statement = statement.where(among(tx, column, keys))
    conditions = list(where)
    if conditions:
        statement = statement.where(*conditions)
    if lock:
        # PostgreSQL locks no row of an outer join's optional side; MariaDB has no OF
        of = resource.table if tx.dialect == "postgresql" else None
        statement = statement.with_for_update(of=of)
    rows = tx.rows(statement)
    return [Values(one) for one in wanted.dictionaries(rows, wanted.load(tx, rows))]


def chosen(request: Request, resource: Resource, fields: Sequence[str]) -> tuple[str, ...]:
    """The attributes that a view has: those visible to the caller, and of them the ``fields`` asked for."""
    names, _ = request.access.visible(resource)
    if not fields:
        return names
    asked = {resource.aliases.get(name, name) for name in fields}
    return tuple(name for name in names if name in asked)


def show(
    request: Request, resource: Resource, several: Sequence[Mapping[str, Any]], fields: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """The views of values that are already in memory (what a unit of work returned)."""
    names = chosen(request, resource, fields)
    guards = [guard for guard in request.access.visible(resource)[1] if guard[0] in names]
    attributes = [resource.attributes[name] for name in names]
    views = []
    for values in several:
        view: dict[str, Any] = {}
        for attribute in attributes:
            name = attribute.name
            value = attribute.compute(values) if attribute.compute else values.get(name, attribute.empty)
            if value is not None and attribute.type.show:
                value = attribute.type.show(value)
            view[name] = value
            if attribute.alias:
                view[attribute.alias] = value
        judged = resource.judged(None, [Values(values)])[0] if guards else {}
        for name, rule in guards:
            if not request.access.allows(rule, judged):
                del view[name]
        resource.dialect.decorate(request, resource, view)
        views.append(view)
    return views


class Page:
    """Rows that were read, and how to show them; ``keys`` are theirs, in order."""

    __slots__ = ("_chosen", "_fields", "_loaded", "_plan", "_request", "_resource", "_rows", "keys")

    def __init__(
        self,
        tx: Tx,
        request: Request,
        resource: Resource,
        statement: Callable[[Sequence[Any]], Select[Any]],
        fields: Sequence[str],
    ) -> None:
        """Read; ``statement`` makes the SELECT of the columns that it is given."""
        self._request = request
        self._resource = resource
        self._fields = fields
        # an attribute that is decided row by row is decided by whatever its rule looks at: read everything
        self._chosen = not request.access.visible(resource)[1]
        names = chosen(request, resource, fields) if self._chosen else tuple(resource.attributes)
        self._plan = plan(resource, names, as_json=self._chosen)
        self._rows = tx.rows(statement(self._plan.columns))
        self._loaded = self._plan.load(tx, self._rows)
        self.keys = self._plan.keys(self._rows)

    def reverse(self) -> None:
        """Turn the rows around."""
        self._rows.reverse()
        self.keys.reverse()

    def views(self, start: int = 0, end: int | None = None) -> list[dict[str, Any]]:
        """Some of the rows, or all, as they are shown."""
        made = self._plan.dictionaries(self._rows[start:end], self._loaded)
        if not self._chosen:
            return show(self._request, self._resource, made, self._fields)
        self._plan.finish(made, self._resource.key)
        decorate = self._resource.dialect.decorate
        for one in made:
            decorate(self._request, self._resource, one)
        return made

    def encode(self, beside: Mapping[str, Any]) -> list[bytes]:
        """``{plural: [...], **beside}`` in chunks of some hundred rows; a chunk's rows die with it."""
        chunks = [b'{"' + self._resource.plural.encode() + b'":[']
        for start in range(0, len(self._rows), CHUNK_ROWS):
            part = encode(self.views(start, start + CHUNK_ROWS))[1:-1]
            chunks.append(b"," + part if start else part)
        chunks.append(b"]," + encode(beside)[1:] if beside else b"]}")
        # one write for what fits in one
        return [b"".join(chunks)] if len(self._rows) <= CHUNK_ROWS else chunks
