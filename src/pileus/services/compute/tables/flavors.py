"""Tables of flavors. ``id`` is the API's; servers keep a copy of the flavor that they were made of."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, ForeignKey, Integer, Table

from pileus.store.schema import Id, JsonText, LongText, Moment, Name, metadata

flavors = Table(
    "flavors",
    metadata,
    Column("id", Name, primary_key=True),
    Column("name", Name, nullable=False, unique=True),
    Column("vcpus", Integer, nullable=False),
    Column("ram", Integer, nullable=False),
    Column("disk", Integer, nullable=False),
    Column("ephemeral", Integer, nullable=False),
    Column("swap", Integer, nullable=False),
    Column("rxtx_factor", Float, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("is_public", Boolean, nullable=False),
    Column("description", LongText),
    Column("extra_specs", JsonText, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
)

flavor_access = Table(
    "flavor_access",
    metadata,
    Column("flavor_id", Name, ForeignKey("flavors.id", ondelete="CASCADE"), primary_key=True),
    Column("project_id", Id, primary_key=True, index=True),
)
