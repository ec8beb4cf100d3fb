"""Roles, and which role implies which."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Table, UniqueConstraint

from pileus.store.schema import Id, JsonText, LongText, Name, metadata

roles = Table(
    "roles",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Name, nullable=False),
    # The domain's id again, or empty: names of global roles must be unique too, and NULLs are never equal.
    Column("owner", Id, nullable=False),
    Column("domain_id", Id, ForeignKey("projects.id")),
    Column("description", LongText),
    Column("options", JsonText, nullable=False, server_default="{}"),
    Column("extra", JsonText),
    UniqueConstraint("owner", "name"),
)

implied_roles = Table(
    "implied_roles",
    metadata,
    Column("prior_role_id", Id, ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True),
    Column("implied_role_id", Id, ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True, index=True),
)
