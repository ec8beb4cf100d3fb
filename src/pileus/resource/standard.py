"""The attributes of every resource of the network API: times, a revision number, a description, tags.

    networks = Table("networks", metadata, Column("id", Id, primary_key=True), ..., *standard_columns())
    NETWORK = Resource("network", table=networks, attributes=(..., *STANDARD), ...)

``Resource.change`` keeps ``revision_number`` and ``updated_at`` right by itself.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Integer

from pileus.resource import types
from pileus.resource.declaration import Attribute, callers_project, request_time
from pileus.resource.tag_table import MAX_TAG, tags_load, tags_save
from pileus.store.schema import Moment, Name

tags_type = types.list_of(types.string(MAX_TAG, minimum=1), unique=True, maximum=50)


def standard_columns() -> tuple[Column[Any], ...]:
    """The columns behind STANDARD, new ones for each table."""
    return (
        Column("description", Name, nullable=False, default=""),
        Column("revision_number", Integer, nullable=False),
        Column("created_at", Moment, nullable=False),
        Column("updated_at", Moment, nullable=False),
    )


PROJECT = Attribute(
    "project_id",
    types.nullable(types.string(255)),
    alias="tenant_id",
    default=callers_project,
    create=True,
    filter=True,
    sort=True,
    description="The project that owns it.",
)

TAGS = Attribute(
    "tags",
    tags_type,
    default=[],
    empty=(),
    create=True,
    loader=tags_load,
    saver=tags_save,
    description="Words that people hang on it.",
)

STANDARD: tuple[Attribute, ...] = (
    Attribute(
        "description",
        types.string(255),
        default="",
        create=True,
        update=True,
        filter=True,
        sort=True,
        description="What people say about it.",
    ),
    Attribute(
        "revision_number",
        types.integer(0),
        default=1,
        filter=True,
        sort=True,
        description="Grows with every change; stands in If-Match.",
    ),
    Attribute("created_at", types.timestamp, default=request_time, filter=True, sort=True),
    Attribute("updated_at", types.timestamp, default=request_time, filter=True, sort=True),
    TAGS,
)
