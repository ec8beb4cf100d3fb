"""The namespaces that a new cloud has: those that OpenStack ships, by their names, titles and values.

They are inserted at the first start only: who deletes or changes one keeps it so. ``namespaces.json`` is read
when this is imported, since a server that has dropped its rights may not be able to.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import select

from pileus.core.context import Context
from pileus.core.ids import new_id
from pileus.services.image.metadefs.items import OBJECT, PROPERTY, new_row
from pileus.services.image.metadefs.tables import (
    metadef_associations,
    metadef_namespaces,
    metadef_resource_types,
)
from pileus.store.tx import Tx

_DOCUMENTS = Path(__file__).with_name("namespaces.json").read_bytes()


def usual_namespaces() -> list[dict[str, Any]]:
    """The documents, each like the body that makes a namespace."""
    decoded: list[dict[str, Any]] = msgspec.json.decode(_DOCUMENTS)
    return decoded


def metadefs_seed(tx: Tx, context: Context) -> int:
    """Insert the usual namespaces where there never was any; returns how many. A statement a table."""
    if tx.first(select(metadef_resource_types.c.name).limit(1)) is not None:
        return 0
    now = {"created_at": context.now, "updated_at": context.now}
    documents = usual_namespaces()
    names = {one["name"] for document in documents for one in document["resource_type_associations"]}
    tx.insert(metadef_resource_types, [{"name": name, **now} for name in sorted(names)])
    ids = {document["namespace"]: new_id() for document in documents}
    tx.insert(
        metadef_namespaces,
        [
            {
                "id": ids[document["namespace"]],
                "namespace": document["namespace"],
                "display_name": document["display_name"],
                "description": document.get("description"),
                "visibility": "public",
                "protected": True,
                "owner": None,
                **now,
            }
            for document in documents
        ],
    )
    tx.insert(
        metadef_associations,
        [
            {
                "namespace_id": ids[document["namespace"]],
                "name": one["name"],
                "prefix": one.get("prefix"),
                "properties_target": one.get("properties_target"),
                **now,
            }
            for document in documents
            for one in document["resource_type_associations"]
        ],
    )
    properties, objects = [], []
    for document in documents:
        id_ = ids[document["namespace"]]
        properties += [
            new_row(id_, {"name": name, **one}, context.now) for name, one in document["properties"].items()
        ]
        objects += [new_row(id_, one, context.now) for one in document["objects"]]
    tx.insert(PROPERTY.table, properties)
    tx.insert(OBJECT.table, objects)
    return len(documents)
