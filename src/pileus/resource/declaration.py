"""Declarations: what a resource is, said once.

A noun of a service declares its table and its attributes::

    WIDGET = Resource(
        "widget",
        table=widgets,
        wording=NEUTRON,
        attributes=(
            Attribute("id", types.uuid, default=fresh_id, filter=True, sort=True),
            Attribute("name", types.string(), default="", create=True, update=True, filter=True, sort=True),
            Attribute("size", types.integer(1, 10), create=True, required=True),
            Attribute("host", types.string(255), default="", create=True, policy=True),
            *STANDARD,
        ),
    )

From it come the checks of a request's body, the rows to write, the lists with
their filters and sorts, the views, and OpenAPI. A value inside Pileus is a
:class:`Values`: a dict keyed by the attributes' own names (``binding:host_id``).

An API extension is one file: it declares an :class:`Extension`, calls ``WIDGET.extend(Attribute(...))``
and lists routes of its own. Its noun names it, so ``/v2.0/extensions`` tells the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Table, bindparam
from sqlalchemy import Update as UpdateStatement

from pileus.core.context import Context
from pileus.core.errors import NotFound
from pileus.core.ids import new_hex_id, new_id
from pileus.resource.tag_table import tags_remove
from pileus.resource.types import Type
from pileus.resource.wording import Wording
from pileus.store.column_in import column_in
from pileus.store.narrowed import Narrowed
from pileus.store.tx import Tx

_CHANGED, _TO = "changed_key", "changed_to_"
"""Parameters of the statement that changes one row: its key, and before a column's name its new value."""


class Values(dict[str, Any]):
    """One resource's values by attribute name; ``given`` are the names that the caller wrote himself."""

    __slots__ = ("given",)

    def __init__(self, values: Mapping[str, Any] | None = None, given: Iterable[str] = ()) -> None:
        super().__init__(values or {})
        self.given = frozenset(given)


Loader = Callable[[Tx, list[str]], Mapping[str, Any]]
"""``(tx, ids) -> {id: value}``: an attribute kept in another table, for many rows in one statement."""

Saver = Callable[[Tx, Context, Mapping[str, Any]], None]
"""``(tx, context, {id: value})``: the writing counterpart of a loader; replaces what was there."""

Targets = Callable[[Tx, Context, Sequence[Values]], Sequence[Mapping[str, Any]]]
"""``(tx, context, several) -> [{name: value}]``: what the policy looks at besides the values, in the same
order."""

Seen = Callable[[Context], ColumnElement[Any]]
"""``context -> column``: a column whose value depends on who looks (whether a network is shared with him)."""

Default = Callable[[Context, Mapping[str, Any]], Any]


def fresh_id(context: Context, values: Mapping[str, Any]) -> str:
    """Default of an ``id`` in the form of Neutron, Nova, Glance and Cinder."""
    return new_id()


def fresh_hex_id(context: Context, values: Mapping[str, Any]) -> str:
    """Default of an ``id`` in Keystone's form."""
    return new_hex_id()


def callers_project(context: Context, values: Mapping[str, Any]) -> str | None:
    """Default of ``project_id``: the caller's."""
    return context.project_id


def request_time(context: Context, values: Mapping[str, Any]) -> Any:
    """Default of ``created_at`` and ``updated_at``."""
    return context.now


class _AsSeen(Mapping[str, ColumnElement[Any]]):
    """Columns as a caller sees them, of which those that depend on him are made when a rule looks at them."""

    def __init__(
        self, fixed: Mapping[str, ColumnElement[Any]], seen: Mapping[str, Seen], context: Context
    ) -> None:
        self._fixed, self._seen, self._context = fixed, seen, context

    def __getitem__(self, name: str) -> ColumnElement[Any]:
        found = self._fixed.get(name)
        return self._seen[name](self._context) if found is None else found

    def __contains__(self, name: object) -> bool:
        return name in self._fixed or name in self._seen

    def __iter__(self) -> Iterator[str]:
        return iter({**self._fixed, **self._seen})

    def __len__(self) -> int:
        return len({**self._fixed, **self._seen})


@dataclass(frozen=True, slots=True, kw_only=True)
class _AttributeOptions:
    column: ColumnElement[Any] | None = None
    """Where it is stored or computed in SQL; without it, the table's column of the attribute's name."""
    seen: Seen | None = None
    """The value as the caller sees it, in views, filters and policy rules; ``column`` is what is stored."""
    view_only: bool = False
    """Read for views alone, since units of work have no use for it; they fill it in for their own replies."""
    loader: Loader | None = None
    """For what lives in another table: one statement for all rows of a reply."""
    saver: Saver | None = None
    empty: Any = None
    """The value of a loader's attribute where the loader returned nothing for an id."""
    compute: Callable[[Mapping[str, Any]], Any] | None = None
    """From the other values of the same row, for the view only."""
    create: bool = False
    update: bool = False
    required: bool = False
    default: Any = None
    """A value, or ``(context, values) -> value`` run after the given values are known."""
    policy: bool = False
    """Rules ``create_x:name``, ``update_x:name`` and ``get_x:name`` guard it."""
    policy_get: bool | None = None
    """Whether reading is guarded too; without it, as ``policy`` says."""
    visible: bool = True
    """Shown in views; a hidden attribute may still be set (``password``) or filtered by."""
    omitted: bool = False
    """Left out of views where there is no value."""
    filter: bool = False
    condition: Callable[[Sequence[str]], ColumnElement[bool]] | None = None
    """For filters that compare no column: the texts of a query as a condition; may raise BadValue."""
    sort: bool = False
    versions: tuple[str, str] = ("", "")
    """The window of microversions in which the attribute is there, both ends included, ``""`` for open."""
    shown: Type | None = None
    """The type of the value in views, where that differs from what is taken."""
    alias: str | None = None
    """The same value under a second name, in bodies, queries and views (``tenant_id``)."""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Attribute(_AttributeOptions):
    """One attribute of a resource. ``name`` is the API's; ``type`` checks and normalises."""

    name: str
    type: Type

    @property
    def guarded_view(self) -> bool:
        return self.policy if self.policy_get is None else self.policy_get


@dataclass(frozen=True, slots=True)
class Extension:
    """An API extension as ``GET /v2.0/extensions`` lists it; ``updated`` is an ISO 8601 time."""

    alias: str
    name: str
    description: str
    updated: str = "2026-01-01T00:00:00-00:00"
    links: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Additional:
    """Bodies may hold attributes that nobody declared: they are kept in a dictionary, as Keystone does.

    ``attribute`` is where it is kept, ``most`` how many there may be. ``ignored`` are names that clients
    send back because they were shown, and that mean nothing.
    """

    attribute: str = "extra"
    most: int = 50
    longest_name: int = 255
    ignored: frozenset[str] = frozenset()


class Resource:
    """A declared kind of thing.

    ``source`` is the FROM of reads, where columns of a joined table are wanted
    (``ports.outerjoin(bindings)``); ``key`` names the attribute that paths carry.
    ``parents`` maps attributes to the kinds of things that they name and that this belongs to: a
    caller who may not see one is answered as if it did not exist. ``unknown_marker_ends``: behind a
    marker that is not there nothing follows, where other lists refuse it. ``additional``: bodies may hold
    attributes that nobody declared.
    ``targets`` gives the policy more to look at than the values themselves (a port's
    ``network:project_id``), for many at once, and ``policy_columns`` the same as SQL; a column that depends
    on who asks is a function of the context.
    ``rules`` overrides the rule names that the wording derives for the actions
    ``create get list update delete``; ``not_found`` the error of a missing one.
    """

    def __init__(
        self,
        name: str,
        *,
        attributes: Iterable[Attribute],
        wording: Wording,
        table: Table | None = None,
        plural: str | None = None,
        collection: str | None = None,
        source: FromClause | None = None,
        key: str = "id",
        rules: Mapping[str, str] | None = None,
        not_found: type[NotFound] | None = None,
        bulk: bool | None = None,
        default_sort: Sequence[tuple[str, bool]] = (),
        targets: Targets | None = None,
        policy_columns: Mapping[str, ColumnElement[Any] | Seen] | None = None,
        parents: Mapping[str, Resource] | None = None,
        unknown_marker_ends: bool = False,
        additional: Additional | None = None,
        description: str = "",
    ) -> None:
        self.name = name
        self.plural = plural or name + "s"
        self.collection = collection or self.plural.replace("_", "-")
        self.table = table
        self.source: Any = source if source is not None else table
        self.key = key
        self.wording = wording
        self.bulk = wording.bulk if bulk is None else bulk
        self.default_sort = tuple(default_sort)
        self.description = description
        self.attributes: dict[str, Attribute] = {}
        self.aliases: dict[str, str] = {}
        self.columns: dict[str, ColumnElement[Any]] = {}
        self.plans: dict[Any, Any] = {}
        self.targets = targets
        self.parents = dict(parents or {})
        self.unknown_marker_ends = unknown_marker_ends
        self.additional = additional
        self._policy_columns = dict(policy_columns or {})
        self._rules = dict(rules or {})
        self.not_found_class = not_found or _not_found_class(name, wording)
        self._add(attributes)

    def __repr__(self) -> str:
        return f"<resource {self.name}>"

    def extend(self, *attributes: Attribute) -> None:
        """Add an extension's attributes, at import, before an app is made of the declaration."""
        self._add(attributes)
        self.plans.clear()

    def _add(self, attributes: Iterable[Attribute]) -> None:
        for attribute in attributes:
            if attribute.name in self.attributes:
                raise ValueError(f"{self.name} already has an attribute {attribute.name}")
            self.attributes[attribute.name] = attribute
            if attribute.alias:
                self.aliases[attribute.alias] = attribute.name
            column = attribute.column
            if column is None and self.table is not None and not attribute.loader and not attribute.compute:
                column = self.table.c.get(attribute.name)
            if column is not None:
                self.columns[attribute.name] = column

    def policy_columns(self, context: Context) -> Mapping[str, ColumnElement[Any]]:
        """The columns that policy rules may look at, as the caller sees them."""
        known: tuple[dict[str, ColumnElement[Any]], dict[str, Seen]] | None = self.plans.get("policy_columns")
        if known is None:
            columns: dict[str, ColumnElement[Any] | Seen] = {
                policy_name: self.attributes[name].seen or column
                for name, column in self.columns.items()
                for policy_name in self.policy_names(name)
            }
            columns |= self._policy_columns
            fixed = {name: one for name, one in columns.items() if isinstance(one, ColumnElement)}
            seen = {name: one for name, one in columns.items() if not isinstance(one, ColumnElement)}
            known = self.plans["policy_columns"] = (fixed, seen)
        fixed, seen = known
        return _AsSeen(fixed, seen, context) if seen else fixed

    def judged(self, tx: Tx | None, context: Context, several: Sequence[Values]) -> list[dict[str, Any]]:
        """Make the targets of the policy for these; without ``tx`` nothing from ``targets``."""
        more: Sequence[Mapping[str, Any]] = [{}] * len(several)
        if self.targets is not None and tx is not None:
            more = self.targets(tx, context, several)
        names = self.policy_names
        return [
            {
                **{policy_name: value for name, value in values.items() for policy_name in names(name)},
                **besides,
            }
            for values, besides in zip(several, more, strict=True)
        ]

    def policy_names(self, attribute: str) -> tuple[str, ...]:
        """The names under which policy rules know an attribute of the target."""
        return self.wording.policy_names(self, attribute, self.attributes[attribute].alias)

    def rule(self, action: str) -> str:
        """The policy rule of ``create``, ``get``, ``list``, ``update`` or ``delete``."""
        return self._rules.get(action) or self.wording.rule_name(self, action)

    def attribute_rule(self, action: str, attribute: str) -> str:
        """The policy rule that guards one attribute in an action."""
        return f"{self.rule(action)}:{attribute}"

    def resolve(self, name: str) -> Attribute | None:
        """The attribute of that name or alias."""
        return self.attributes.get(self.aliases.get(name, name))

    def not_found(self, key: str) -> NotFound:
        """The error of a missing (or invisible) one."""
        return self.not_found_class(id=key, **{f"{self.name}_id": key})

    def row(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The part of ``values`` that is stored in the resource's own table, by column name."""
        row = {}
        for name, value in values.items():
            column = self.columns.get(name)
            if column is not None and getattr(column, "table", None) is self.table:
                row[column.key or name] = value
        return row

    def insert(self, tx: Tx, context: Context, specs: Sequence[Values]) -> list[Values]:
        """Write new rows, and what savers keep elsewhere; one statement a table. Returns ``specs``."""
        assert self.table is not None
        if specs:
            tx.insert(self.table, [self.row(spec) for spec in specs])
            # a key that the database gives is not known yet: such a resource has no savers
            self._save(tx, context, {spec.get(self.key, ""): spec for spec in specs}, new=True)
        return list(specs)

    def change(self, tx: Tx, context: Context, updates: Sequence[Update]) -> list[Values]:
        """Write changes, one statement for each different set of changed values; returns the new values."""
        table = self.table
        assert table is not None
        together: dict[Any, tuple[dict[str, Any], list[str]]] = {}
        after = []
        for update in updates:
            changes = Values({**update.changes, **self._stamps(context, update)}, update.changes.given)
            row = self.row(changes)
            if row:
                group = together.setdefault(repr(sorted(row.items())), (row, []))
                group[1].append(update.original[self.key])
            after.append(Values({**update.original, **changes}, changes.given))
        key_column = self.columns[self.key]
        for row, keys in together.values():
            if len(keys) == 1:
                values = {_TO + name: value for name, value in row.items()}
                tx.execute(self._changing(table, tuple(row)), {_CHANGED: keys[0], **values})
            else:
                tx.execute(table.update().where(column_in(tx, key_column, keys)).values(row))
        self._save(tx, context, {update.original[self.key]: update.changes for update in updates})
        return after

    def _changing(self, table: Table, names: tuple[str, ...]) -> UpdateStatement:
        """A statement that sets these columns of one, kept for its plan."""
        known: UpdateStatement | None = self.plans.get(("change", names))
        if known is None:
            values: dict[str, Any] = {name: bindparam(_TO + name) for name in names}
            known = table.update().where(self.columns[self.key] == bindparam(_CHANGED)).values(values)
            self.plans["change", names] = known
        return known

    def _removing(self, table: Table) -> Narrowed:
        known: Narrowed | None = self.plans.get("remove")
        if known is None:
            key = self.columns[self.key]
            known = self.plans["remove"] = Narrowed(lambda only: table.delete().where(*only(key)))
        return known

    def _stamps(self, context: Context, update: Update) -> dict[str, Any]:
        """Values that every change sets: the revision number and the time, where the table has them."""
        stamps: dict[str, Any] = {}
        if "revision_number" in self.columns:
            stamps["revision_number"] = update.original["revision_number"] + 1
        if "updated_at" in self.columns:
            stamps["updated_at"] = context.now
        return stamps

    def remove(self, tx: Tx, originals: Sequence[Mapping[str, Any]]) -> None:
        """Delete rows of the resource's own table in one statement, and their tags in another."""
        assert self.table is not None
        keys = [one[self.key] for one in originals]
        if "tags" in self.attributes:
            tags_remove(tx, keys)
        self._removing(self.table).execute(tx, {}, keys)

    def _save(
        self, tx: Tx, context: Context, values: Mapping[str, Mapping[str, Any]], *, new: bool = False
    ) -> None:
        for name, attribute in self.attributes.items():
            if attribute.saver:
                # what is new and empty needs no statement
                wanted = {
                    key: one[name] for key, one in values.items() if name in one and (one[name] or not new)
                }
                if wanted:
                    attribute.saver(tx, context, wanted)


@dataclass(frozen=True, slots=True)
class Update:
    """One change: all the values that are there, and those wanted instead."""

    original: Values
    changes: Values


def _not_found_class(name: str, wording: Wording) -> type[NotFound]:
    words = "".join(word.capitalize() for word in name.split("_"))
    message = wording.not_found_message(name, words)
    return type(f"{words}NotFound", (NotFound,), {"message": message})
