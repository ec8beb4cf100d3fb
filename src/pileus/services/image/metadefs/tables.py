"""The tables of metadata definitions. What belongs to a namespace goes with it."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, String, Table, UniqueConstraint

from pileus.store.schema import Id, JsonText, LongText, Moment, Name, metadata

MAX_NAME = 80

metadef_namespaces = Table(
    "metadef_namespaces",
    metadata,
    Column("id", Id, primary_key=True),
    Column("namespace", String(MAX_NAME), nullable=False, unique=True),
    Column("display_name", String(MAX_NAME)),
    Column("description", LongText),
    Column("visibility", String(20), nullable=False),
    Column("protected", Boolean, nullable=False),
    Column("owner", Name, index=True),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
)


def _of_namespace(name: str) -> Table:
    """A table of things that have a name in a namespace, and a document."""
    return Table(
        name,
        metadata,
        Column("id", Id, primary_key=True),
        Column("namespace_id", Id, ForeignKey("metadef_namespaces.id", ondelete="CASCADE"), nullable=False),
        Column("name", String(MAX_NAME), nullable=False),
        Column("document", JsonText, nullable=False),
        Column("created_at", Moment, nullable=False),
        Column("updated_at", Moment, nullable=False),
        UniqueConstraint("namespace_id", "name"),
    )


metadef_objects = _of_namespace("metadef_objects")
metadef_properties = _of_namespace("metadef_properties")
metadef_tags = _of_namespace("metadef_tags")

metadef_resource_types = Table(
    "metadef_resource_types",
    metadata,
    Column("name", String(MAX_NAME), primary_key=True),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
)

metadef_associations = Table(
    "metadef_associations",
    metadata,
    Column("namespace_id", Id, ForeignKey("metadef_namespaces.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(MAX_NAME), ForeignKey("metadef_resource_types.name"), primary_key=True),
    Column("prefix", String(MAX_NAME)),
    Column("properties_target", String(MAX_NAME)),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
)
