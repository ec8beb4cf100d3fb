"""Namespaces: units of work. A namespace is shown with everything that is in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from pileus.core.ids import new_id
from pileus.services.image.metadefs import bodies
from pileus.services.image.metadefs.access import find_namespace, own_target, target
from pileus.services.image.metadefs.errors import (
    DuplicateNamespace,
    DuplicateObject,
    DuplicateTag,
    ProtectedNamespace,
)
from pileus.services.image.metadefs.items import (
    OBJECT,
    PROPERTY,
    TAG,
    item_rows,
    new_row,
    path_of,
    prefixed_object,
)
from pileus.services.image.metadefs.resource_types import (
    associate,
    association_rows,
    association_view,
)
from pileus.services.image.metadefs.tables import metadef_namespaces
from pileus.store.errors import Duplicate
from pileus.store.tx import Tx
from pileus.web.request import Request


def namespace_view(row: Row[Any]) -> dict[str, Any]:
    """A namespace without what is in it; what it lacks is not shown."""
    own = {name: getattr(row, name) for name in bodies.OWN}
    return {
        **{name: value for name, value in own.items() if value is not None},
        **bodies.times(row),
        "self": path_of(row.namespace),
        "schema": "/v2/schemas/metadefs/namespace",
    }


def with_associations(tx: Tx, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """Views of namespaces with their resource types: one statement for all."""
    by_id: dict[str, list[dict[str, Any]]] = {}
    for one in association_rows(tx, [row.id for row in rows]) if rows else ():
        by_id.setdefault(one.namespace_id, []).append(association_view(one))
    views = []
    for row in rows:
        view = namespace_view(row)
        if row.id in by_id:
            view["resource_type_associations"] = by_id[row.id]
        views.append(view)
    return views


def namespace_get(tx: Tx, request: Request, resource_type: str | None) -> dict[str, Any]:
    """The path's namespace whole; ``resource_type``: properties have the prefix that such have."""
    found = find_namespace(tx, request, "get_metadef_namespace")
    for rule in (
        "list_metadef_resource_types",
        *(f"get_metadef_{kind.plural}" for kind in (OBJECT, PROPERTY, TAG)),
    ):
        request.authorise(rule, target(found))
    view = with_associations(tx, [found])[0]
    objects = [OBJECT.view(found.namespace, row) for row in item_rows(tx, OBJECT, [found.id])]
    properties = {row.name: row.document for row in item_rows(tx, PROPERTY, [found.id])}
    tags = [{"name": row.name} for row in item_rows(tx, TAG, [found.id])]
    for one in view.get("resource_type_associations", ()):
        if one["name"] == resource_type and one.get("prefix"):
            properties = {f"{one['prefix']}{name}": value for name, value in properties.items()}
            for view_of_object in objects:
                prefixed_object(view_of_object, one["prefix"])
    parts = {"objects": objects, "properties": properties, "tags": tags}
    return {**view, **{name: part for name, part in parts.items() if part}}


def namespace_create(tx: Tx, request: Request, given: Mapping[str, Any]) -> dict[str, Any]:
    """Make a namespace with everything that the body has. Raises DuplicateNamespace and its kin."""
    request.authorise("add_metadef_namespace", own_target(request))
    inside = {
        "resource_type_associations": "add_metadef_resource_type_association",
        "objects": "add_metadef_object",
        "properties": "add_metadef_property",
        "tags": "add_metadef_tag",
    }
    for name, rule in inside.items():
        if given.get(name):
            request.authorise(rule, own_target(request))
    values = _values(request, given) | {"id": new_id(), "created_at": request.context.now}
    try:
        with tx.savepoint():
            tx.execute(insert(metadef_namespaces).values(values))
    except Duplicate:
        raise DuplicateNamespace(namespace_name=given["namespace"]) from None
    _fill(tx, values, given)
    row = _by_id(tx, values["id"])
    return namespace_view(row) | {name: given[name] for name in inside if given.get(name)}


def _fill(tx: Tx, namespace: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Insert what a new namespace has, in a statement a kind."""
    id_, name, now = namespace["id"], namespace["namespace"], namespace["created_at"]
    if given.get("resource_type_associations"):
        associate(tx, id_, name, given["resource_type_associations"], now)
    properties = [{"name": key, **one} for key, one in given.get("properties", {}).items()]
    tx.insert(PROPERTY.table, [new_row(id_, one, now) for one in properties])
    _refuse_repeats([one["name"] for one in given.get("objects", ())], DuplicateObject, name)
    tx.insert(OBJECT.table, [new_row(id_, one, now) for one in given.get("objects", ())])
    _refuse_repeats([one["name"].lower() for one in given.get("tags", ())], DuplicateTag, name)
    tx.insert(TAG.table, [new_row(id_, one, now) for one in given.get("tags", ())])


def _refuse_repeats(
    names: Sequence[str], refusal: type[DuplicateObject] | type[DuplicateTag], namespace: str
) -> None:
    for position, name in enumerate(names):
        if name in names[:position]:
            raise refusal(name=name, namespace_name=namespace)


def namespace_update(tx: Tx, request: Request, given: Mapping[str, Any]) -> dict[str, Any]:
    """Put other attributes in place of the old ones; what is in it stays. Raises DuplicateNamespace."""
    old = find_namespace(tx, request, "modify_metadef_namespace", lock=True)
    values = _values(request, given)
    try:
        with tx.savepoint():
            tx.execute(update(metadef_namespaces).where(metadef_namespaces.c.id == old.id).values(values))
    except Duplicate:
        raise DuplicateNamespace(
            "Invalid update. It would result in a duplicate metadata definition namespace with the same "
            f"name of {given['namespace']}"
        ) from None
    return namespace_view(_by_id(tx, old.id))


def namespace_delete(tx: Tx, request: Request) -> None:
    """Delete a namespace and everything in it. Raises ProtectedNamespace."""
    found = find_namespace(tx, request, "delete_metadef_namespace", lock=True)
    if found.protected:
        raise ProtectedNamespace(namespace=found.namespace)
    tx.execute(delete(metadef_namespaces).where(metadef_namespaces.c.id == found.id))


def _values(request: Request, given: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that a body says, with Glance's defaults for what it does not."""
    return {
        "namespace": given["namespace"],
        "display_name": given.get("display_name"),
        "description": given.get("description"),
        "visibility": given.get("visibility") or "private",
        "protected": given.get("protected") or False,
        "owner": given.get("owner") or request.context.project_id,
        "updated_at": request.context.now,
    }


def _by_id(tx: Tx, id_: str) -> Row[Any]:
    row = tx.first(select(metadef_namespaces).where(metadef_namespaces.c.id == id_))
    assert row is not None
    return row
