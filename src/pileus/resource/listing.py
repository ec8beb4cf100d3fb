"""Lists as SQL: filters, visibility, order and pages, from the declaration.

A dialect turns a query string into a :class:`Listing`; :func:`page` makes one
SELECT of it. Pages are found by key, not by offset: the marker's own values
(one small statement) and a comparison, with the id as the last key, so that a
row deleted between two pages shifts nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, case, false, or_, select

from pileus.core.context import Context
from pileus.core.errors import Fault
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.tag_table import tagged, tagged_with_all
from pileus.store.tx import Tx

LARGEST = 2**31 - 1
"""No limit needs to be larger, and no database takes every larger one."""


class Sort(NamedTuple):
    """One key of an order, by attribute name or alias."""

    name: str
    descending: bool = False


@dataclass(slots=True)
class Listing:
    """A list request. ``where`` are conditions to AND; ``fields`` empty means all.

    ``visible`` are those of ``where`` that say what the caller may see at all: a marker need not fulfil
    the filters, but one that he may not see is answered as one that is not there. ``paged`` False: the
    list has no bound of its own, and no links to other pages.
    """

    where: list[ColumnElement[bool]] = field(default_factory=list)
    visible: Sequence[ColumnElement[bool]] = ()
    sort: list[Sort] = field(default_factory=list)
    limit: int | None = None
    offset: int = 0
    marker: str | None = None
    reverse: bool = False
    paged: bool = True
    fields: list[str] = field(default_factory=list)


def sortable(resource: Resource, name: str) -> bool:
    """Whether lists may be ordered by an attribute (or alias)."""
    attribute = resource.resolve(name)
    return attribute is not None and attribute.sort


def bound(listing: Listing, default: int | None, maximum: int | None) -> None:
    """Give a listing the page size that it lacks, and cut one that is too large."""
    if listing.limit is None:
        listing.limit = default if default is not None else maximum
    elif maximum is not None:
        listing.limit = min(listing.limit, maximum)


def filter_condition(
    resource: Resource, attribute: Attribute, texts: Sequence[str], context: Context | None = None
) -> ColumnElement[bool]:
    """An attribute equal to any of the texts of a query; raises BadValue where a text is not of its type.
    What depends on who looks is compared as ``context`` sees it.

    The empty text also matches NULL, as OpenStack's clients ask for unset values.
    """
    if attribute.condition is not None:
        return attribute.condition(texts)
    column = resource.columns[attribute.name]
    if attribute.seen is not None and context is not None:
        column = attribute.seen(context)
    values = [attribute.type.query(text) for text in texts if text or not attribute.type.accepts_none]
    choices: list[ColumnElement[bool]] = []
    if len(values) == 1:
        choices.append(column == values[0])
    elif values:
        choices.append(column.in_(values))
    if "" in texts and attribute.type.accepts_none:
        choices.append(or_(column.is_(None), column == ""))
    return or_(*choices) if len(choices) > 1 else choices[0]


def tag_conditions(resource: Resource, name: str, texts: Sequence[str]) -> list[ColumnElement[bool]]:
    """``tags`` (all of), ``tags-any``, ``not-tags`` (not all of), ``not-tags-any``, over a tags table."""
    key = resource.columns[resource.key]
    wanted = [tag for text in texts for tag in text.split(",") if tag]
    if not wanted:
        return []  # no tag is named: nothing is asked
    match name:
        case "tags":
            return [tagged_with_all(key, wanted)]
        case "tags-any":
            return [tagged(key, wanted)]
        case "not-tags":
            return [~tagged_with_all(key, wanted)]
        case _:
            return [~tagged(key, wanted)]


def ordered(resource: Resource, sorts: Sequence[Sort]) -> list[tuple[ColumnElement[Any], bool]]:
    """The keys of the order, nulls made explicit (databases disagree), the resource's key last."""
    keys: list[tuple[ColumnElement[Any], bool]] = []
    named = set()
    for sort in sorts or [Sort(*pair) for pair in resource.default_sort]:
        attribute = resource.resolve(sort.name)
        assert attribute is not None
        if attribute.name in named:
            continue  # it decides nothing more; a marker's condition grows with the square of the keys
        column = resource.columns[attribute.name]
        named.add(attribute.name)
        if getattr(column, "nullable", True):
            keys.append((case((column.is_(None), 0), else_=1), sort.descending))
        keys.append((column, sort.descending))
    if resource.key not in named:
        keys.append((resource.columns[resource.key], False))
    return keys


def _beyond(column: ColumnElement[Any], value: Any, descending: bool) -> ColumnElement[bool]:
    if isinstance(value, bool):  # databases compare truths for equality only
        return column.is_(not value) if value is descending else false()
    beyond: ColumnElement[bool] = column < value if descending else column > value
    return beyond


def after(keys: Sequence[tuple[ColumnElement[Any], bool]], values: Sequence[Any]) -> ColumnElement[bool]:
    """Rows that come after the one with these key values: (a > x) or (a = x and b > y) or …"""
    alternatives: list[ColumnElement[bool]] = []
    equal: list[ColumnElement[bool]] = []
    for (column, descending), value in zip(keys, values, strict=True):
        if value is not None:
            beyond = _beyond(column, value, descending)
            alternatives.append(and_(*equal, beyond))
            equal.append(column == value)
        else:
            equal.append(column.is_(None))
    return or_(false(), *alternatives)


def page_statement(
    tx: Tx, resource: Resource, selected: Sequence[ColumnElement[Any]], listing: Listing, missing: Fault
) -> Select[Any]:
    """The SELECT of a page. A marker's row is read first, and ``missing`` raised without it."""
    keys = ordered(resource, listing.sort)
    if listing.reverse:
        keys = [(column, not descending) for column, descending in keys]
    statement = select(*selected).select_from(resource.source)
    if listing.where:
        statement = statement.where(*listing.where)
    if listing.marker is not None:
        found = tx.rows(
            select(*(column for column, _ in keys))
            .select_from(resource.source)
            .where(resource.columns[resource.key] == listing.marker, *listing.visible)
        )
        if not found and not resource.unknown_marker_ends:
            raise missing
        statement = statement.where(after(keys, tuple(found[0])) if found else false())
    statement = statement.order_by(*(column.desc() if down else column.asc() for column, down in keys))
    if listing.limit is not None:
        statement = statement.limit(listing.limit)
    return statement.offset(listing.offset) if listing.offset else statement
