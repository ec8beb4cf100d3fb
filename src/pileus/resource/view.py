"""Views: the attributes that a caller sees, chosen once per request; rows then go through in batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Select

from pileus.resource.access import Access
from pileus.resource.declaration import Resource, Values
from pileus.resource.rows import plan
from pileus.store.tx import Tx

CHUNK_ROWS = 250

Decorate = Callable[[dict[str, Any]], None]
"""Adds to a view, in place, whatever an API has there besides the attributes (``links``)."""

encode = msgspec.json.Encoder().encode


def chosen(access: Access, resource: Resource, fields: Sequence[str]) -> tuple[str, ...]:
    """The attributes that a view has: those visible to the caller, and of them the ``fields`` asked for."""
    names, _ = access.visible(resource)
    if not fields:
        return names
    asked = {resource.aliases.get(name, name) for name in fields}
    return tuple(name for name in names if name in asked)


def show(
    access: Access,
    resource: Resource,
    several: Sequence[Mapping[str, Any]],
    fields: Sequence[str] = (),
    decorate: Decorate | None = None,
) -> list[dict[str, Any]]:
    """The views of values that are already in memory (what a unit of work returned)."""
    names = chosen(access, resource, fields)
    guards = [guard for guard in access.visible(resource)[1] if guard[0] in names]
    attributes = [resource.attributes[name] for name in names]
    views = []
    for values in several:
        view: dict[str, Any] = {}
        for attribute in attributes:
            name = attribute.name
            value = attribute.compute(values) if attribute.compute else values.get(name, attribute.empty)
            if value is not None and attribute.type.show:
                value = attribute.type.show(value)
            if value is None and attribute.omitted:
                continue
            view[name] = value
            if attribute.alias:
                view[attribute.alias] = value
        judged = resource.judged(None, access.context, [Values(values)])[0] if guards else {}
        for name, rule in guards:
            if not access.allows(rule, judged):
                view.pop(name, None)
        if decorate is not None:
            decorate(view)
        views.append(view)
    return views


class Page:
    """Rows that were read, and how to show them; ``keys`` are theirs, in order."""

    __slots__ = (
        "_access",
        "_chosen",
        "_decorate",
        "_fields",
        "_loaded",
        "_plan",
        "_resource",
        "_rows",
        "keys",
    )

    def __init__(
        self,
        tx: Tx,
        access: Access,
        resource: Resource,
        statement: Callable[[Sequence[Any]], Select[Any]],
        fields: Sequence[str],
        decorate: Decorate | None = None,
        *,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        """Read; ``statement`` makes the SELECT of the columns that it is given, with ``parameters``."""
        self._access = access
        self._decorate = decorate
        self._resource = resource
        self._fields = fields
        # an attribute that is decided row by row is decided by whatever its rule looks at: read everything
        self._chosen = not access.visible(resource)[1]
        names = chosen(access, resource, fields) if self._chosen else tuple(resource.attributes)
        self._plan = plan(resource, names, as_json=self._chosen)
        shown = self._plan
        columns = access.remembered(("columns", shown), lambda: shown.columns_for(access.context))
        self._rows = tx.rows(statement(columns), parameters)
        self._loaded = self._plan.load(tx, self._rows)
        self.keys = self._plan.keys(self._rows)

    def cut(self, count: int) -> bool:
        """Keep so many rows; whether there were more."""
        more = len(self._rows) > count
        del self._rows[count:], self.keys[count:]
        return more

    def reverse(self) -> None:
        """Turn the rows around."""
        self._rows.reverse()
        self.keys.reverse()

    def views(self, start: int = 0, end: int | None = None) -> list[dict[str, Any]]:
        """Some of the rows, or all, as they are shown."""
        made = self._plan.dictionaries(self._rows[start:end], self._loaded)
        if not self._chosen:
            return show(self._access, self._resource, made, self._fields, self._decorate)
        self._plan.finish(made, self._resource.key)
        if self._decorate is not None:
            for one in made:
                self._decorate(one)
        return made

    def encode(
        self, beside: Mapping[str, Any], each: Callable[[dict[str, Any]], Any] | None = None
    ) -> list[bytes]:
        """``{plural: [...], **beside}`` in chunks of some hundred rows; a chunk's rows die with it.

        ``each`` makes of a view what the list has.
        """
        chunks = [b'{"' + self._resource.plural.encode() + b'":[']
        for start in range(0, len(self._rows), CHUNK_ROWS):
            views = self.views(start, start + CHUNK_ROWS)
            part = encode(views if each is None else [each(view) for view in views])[1:-1]
            chunks.append(b"," + part if start else part)
        chunks.append(b"]," + encode(beside)[1:] if beside else b"]}")
        # one write for what fits in one
        return [b"".join(chunks)] if len(self._rows) <= CHUNK_ROWS else chunks
