"""Resource types and their associations with namespaces: units of work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, delete, select

from pileus.core.errors import NotFound
from pileus.services.image.metadefs.access import find_namespace
from pileus.services.image.metadefs.bodies import times
from pileus.services.image.metadefs.errors import (
    AssociationNotFound,
    DuplicateAssociation,
    ProtectedAssociation,
)
from pileus.services.image.metadefs.tables import metadef_associations, metadef_resource_types
from pileus.store.column_in import column_in
from pileus.store.errors import Duplicate
from pileus.store.tx import Tx
from pileus.web.request import Request


def resource_type_list(tx: Tx) -> list[dict[str, Any]]:
    """All resource types, by name."""
    rows = tx.rows(select(metadef_resource_types).order_by(metadef_resource_types.c.name))
    return [{"name": row.name, **times(row)} for row in rows]


def association_view(row: Row[Any]) -> dict[str, Any]:
    """An association; what it lacks is not shown."""
    view = {"name": row.name, "prefix": row.prefix, "properties_target": row.properties_target}
    return {name: value for name, value in view.items() if value is not None} | times(row)


def association_rows(tx: Tx, namespace_ids: Sequence[str]) -> list[Row[Any]]:
    """The associations of these namespaces, by name."""
    where = column_in(tx, metadef_associations.c.namespace_id, list(namespace_ids))
    return tx.rows(select(metadef_associations).where(where).order_by(metadef_associations.c.name))


def association_list(tx: Tx, request: Request) -> list[dict[str, Any]]:
    """The associations of the path's namespace."""
    namespace = find_namespace(tx, request, "list_metadef_resource_types")
    return [association_view(row) for row in association_rows(tx, [namespace.id])]


def association_create(tx: Tx, request: Request, given: Mapping[str, Any]) -> dict[str, Any]:
    """Associate a resource type, which comes into being where it is new. Raises DuplicateAssociation."""
    namespace = find_namespace(tx, request, "add_metadef_resource_type_association", lock=True)
    associate(tx, namespace.id, namespace.namespace, [given], request.context.now)
    found = {row.name: row for row in association_rows(tx, [namespace.id])}
    return association_view(found[given["name"]])


def associate(
    tx: Tx, namespace_id: str, namespace: str, several: Sequence[Mapping[str, Any]], now: Any
) -> None:
    """Insert associations, and the resource types that are new. Raises DuplicateAssociation."""
    times = {"created_at": now, "updated_at": now}
    names = sorted({one["name"] for one in several})
    type_names = metadef_resource_types.c.name
    rows: Any = tx.rows(select(type_names).where(column_in(tx, type_names, names)))
    known = {name for (name,) in rows}
    tx.insert(metadef_resource_types, [{"name": name, **times} for name in names if name not in known])
    try:
        with tx.savepoint():
            tx.insert(
                metadef_associations,
                [
                    {
                        "namespace_id": namespace_id,
                        "name": one["name"],
                        "prefix": one.get("prefix"),
                        "properties_target": one.get("properties_target"),
                        **times,
                    }
                    for one in several
                ],
            )
    except Duplicate:
        raise DuplicateAssociation(resource_type_name=names[0], namespace_name=namespace) from None


def association_delete(tx: Tx, request: Request, name: str) -> None:
    """End an association; the resource type stays."""
    namespace = find_namespace(tx, request, "remove_metadef_resource_type_association", lock=True)
    row = (
        metadef_associations.c.namespace_id == namespace.id,
        metadef_associations.c.name == name,
    )
    if tx.first(select(metadef_associations.c.name).where(*row)) is None:
        raise NotFound(f"Failed to find resource type {name} to delete")
    if namespace.protected:
        raise ProtectedAssociation(name=name)
    tx.execute(delete(metadef_associations).where(*row))


def prefix_of(tx: Tx, request: Request, namespace: Row[Any], resource_type: str) -> str:
    """The prefix that a resource type's properties have, often "". Raises AssociationNotFound."""
    row = tx.first(
        select(metadef_associations.c.prefix).where(
            metadef_associations.c.namespace_id == namespace.id, metadef_associations.c.name == resource_type
        )
    )
    if row is None:
        raise AssociationNotFound(resource_type_name=resource_type, namespace_name=namespace.namespace)
    return row.prefix or ""
