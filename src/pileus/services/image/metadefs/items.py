"""Objects, properties and tags of a namespace: three kinds of one thing, a name with a document."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from sqlalchemy import ColumnElement, Row, Table, delete, func, select, update

from pileus.core.errors import Conflict, Forbidden, NotFound
from pileus.core.ids import new_id
from pileus.resource.types import Type
from pileus.services.image.metadefs import bodies, errors
from pileus.services.image.metadefs.access import find_namespace
from pileus.services.image.metadefs.resource_types import prefix_of
from pileus.services.image.metadefs.tables import metadef_objects, metadef_properties, metadef_tags
from pileus.store.column_in import column_in
from pileus.store.errors import Duplicate
from pileus.store.tx import Tx
from pileus.web.request import Request

NAMESPACES = "/v2/metadefs/namespaces"

View = Callable[[str, Row[Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of thing in a namespace. ``view`` takes the namespace's name and a row."""

    name: str
    plural: str
    table: Table
    body: Type
    view: View
    not_found: type[NotFound]
    duplicate: type[Conflict]
    protected: type[Forbidden]
    folded: bool = False
    """Names that differ in case only are one."""
    removal: str = "delete"

    def named(self, name: str) -> ColumnElement[bool]:
        column = self.table.c.name
        return func.lower(column) == name.lower() if self.folded else column == name


def path_of(namespace: str, *more: str) -> str:
    """The path of a namespace, or of something in it: names may have any character."""
    return "/".join([NAMESPACES, *(quote(name, safe=":") for name in (namespace, *more))])


def _object_view(namespace: str, row: Row[Any]) -> dict[str, Any]:
    return {
        "name": row.name,
        **row.document,
        **bodies.times(row),
        "self": path_of(namespace, "objects", row.name),
        "schema": "/v2/schemas/metadefs/object",
    }


OBJECT = Kind(
    "object",
    "objects",
    metadef_objects,
    bodies.OBJECT,
    _object_view,
    errors.ObjectNotFound,
    errors.DuplicateObject,
    errors.ProtectedObject,
)
PROPERTY = Kind(
    "property",
    "properties",
    metadef_properties,
    bodies.PROPERTY,
    lambda namespace, row: {"name": row.name, **row.document},
    errors.PropertyNotFound,
    errors.DuplicateProperty,
    errors.ProtectedProperty,
    removal="remove",
)
TAG = Kind(
    "tag",
    "tags",
    metadef_tags,
    bodies.TAG,
    lambda namespace, row: {"name": row.name, **bodies.times(row)},
    errors.TagNotFound,
    errors.DuplicateTag,
    errors.ProtectedTag,
    folded=True,
)


def new_row(namespace_id: str, given: Mapping[str, Any], request_time: Any) -> dict[str, Any]:
    """The row of something new; ``given`` is a checked body."""
    document = {name: value for name, value in given.items() if name != "name"}
    return {
        "id": new_id(),
        "namespace_id": namespace_id,
        "name": given["name"],
        "document": document,
        "created_at": request_time,
        "updated_at": request_time,
    }


def item_rows(tx: Tx, kind: Kind, namespace_ids: Sequence[str]) -> list[Row[Any]]:
    """Everything of a kind in these namespaces, by name."""
    table = kind.table
    where = column_in(tx, table.c.namespace_id, list(namespace_ids))
    return tx.rows(select(table).where(where).order_by(table.c.name))


def find_item(tx: Tx, kind: Kind, namespace: Row[Any], name: str, *, lock: bool = False) -> Row[Any]:
    """One by name. Raises the kind's ``not_found``."""
    where = (kind.table.c.namespace_id == namespace.id, kind.named(name))
    statement = select(kind.table).where(*where)
    found = tx.first(statement.with_for_update() if lock else statement)
    if found is None:
        raise kind.not_found(name=name, namespace_name=namespace.namespace)
    return found


def item_list(tx: Tx, request: Request, kind: Kind) -> tuple[Row[Any], list[Row[Any]]]:
    """The namespace of the path, and what is in it."""
    namespace = find_namespace(tx, request, f"get_metadef_{kind.plural}")
    return namespace, item_rows(tx, kind, [namespace.id])


def item_get(tx: Tx, request: Request, kind: Kind, name: str, resource_type: str | None) -> dict[str, Any]:
    """The view of one. ``resource_type``: the name has the prefix that properties of such have."""
    namespace = find_namespace(tx, request, f"get_metadef_{kind.name}")
    prefix = ""
    if resource_type and kind is PROPERTY:
        prefix = prefix_of(tx, request, namespace, resource_type)
        if not prefix or not name.startswith(prefix):
            raise NotFound(
                f"Property {name} does not start with the expected resource type association prefix of "
                f"'{prefix}'."
            )
    view = kind.view(namespace.namespace, find_item(tx, kind, namespace, name.removeprefix(prefix)))
    if resource_type and kind is OBJECT:
        prefixed_object(view, prefix_of(tx, request, namespace, resource_type))
    return view


def item_create(
    tx: Tx, request: Request, kind: Kind, several: Sequence[Mapping[str, Any]], *, replace: bool | None = None
) -> list[dict[str, Any]]:
    """Make several; ``replace``: in the place of all that there are."""
    rule = f"add_metadef_{kind.name if replace is None else kind.plural}"
    namespace = find_namespace(tx, request, rule, lock=True)
    if replace:
        tx.execute(delete(kind.table).where(kind.table.c.namespace_id == namespace.id))
    rows = [new_row(namespace.id, one, request.context.now) for one in several]
    _refuse_taken(tx, kind, namespace, [row["name"] for row in rows], besides=None)
    try:
        with tx.savepoint():
            tx.insert(kind.table, rows)
    except Duplicate:
        raise kind.duplicate(name=rows[0]["name"], namespace_name=namespace.namespace) from None
    found = {row.name: row for row in item_rows(tx, kind, [namespace.id])}
    return [kind.view(namespace.namespace, found[row["name"]]) for row in rows]


def item_update(tx: Tx, request: Request, kind: Kind, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Put another in its place; the name may be another one."""
    namespace = find_namespace(tx, request, f"modify_metadef_{kind.name}", lock=True)
    old = find_item(tx, kind, namespace, name, lock=True)
    _refuse_taken(tx, kind, namespace, [given["name"]], besides=old.id)
    row = new_row(namespace.id, given, request.context.now)
    changes = {column: row[column] for column in ("name", "document", "updated_at")}
    tx.execute(update(kind.table).where(kind.table.c.id == old.id).values(changes))
    return kind.view(namespace.namespace, find_item(tx, kind, namespace, given["name"]))


def item_delete(tx: Tx, request: Request, kind: Kind, name: str) -> None:
    """Delete one; raises the refusal of a protected namespace."""
    namespace = find_namespace(tx, request, f"{kind.removal}_metadef_{kind.name}", lock=True)
    found = find_item(tx, kind, namespace, name, lock=True)
    if namespace.protected:
        raise kind.protected(name=found.name)
    tx.execute(delete(kind.table).where(kind.table.c.id == found.id))


def items_delete(tx: Tx, request: Request, kind: Kind) -> None:
    """Delete all of a kind."""
    rule = "delete_metadef_tags" if kind is TAG else "delete_metadef_namespace"
    namespace = find_namespace(tx, request, rule, lock=True)
    if namespace.protected:
        raise errors.ProtectedNamespace(namespace=namespace.namespace)
    tx.execute(delete(kind.table).where(kind.table.c.namespace_id == namespace.id))


def prefixed_object(view: dict[str, Any], prefix: str) -> None:
    """Give the properties of an object's view the prefix of a resource type."""
    if "properties" in view:
        view["properties"] = {f"{prefix}{name}": one for name, one in view["properties"].items()}
    if "required" in view:
        view["required"] = [f"{prefix}{name}" for name in view["required"]]


def _refuse_taken(
    tx: Tx, kind: Kind, namespace: Row[Any], names: Sequence[str], *, besides: str | None
) -> None:
    """Raise the kind's ``duplicate`` for a name that is twice among these, or taken by another."""
    folded = [name.lower() if kind.folded else name for name in names]
    columns = kind.table.c
    taken: Any = tx.rows(select(columns.id, columns.name).where(columns.namespace_id == namespace.id))
    known = {name.lower() if kind.folded else name for id_, name in taken if id_ != besides}
    for position, name in enumerate(folded):
        if name in known or name in folded[:position]:
            raise kind.duplicate(name=names[position], namespace_name=namespace.namespace)
