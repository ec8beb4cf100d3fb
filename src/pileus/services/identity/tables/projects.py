"""Projects and domains: one table, since a domain is a project that contains others.

A domain's ``domain_id`` and ``parent_id`` are NULL. ``owner`` is the domain's id again, or
empty for a domain, so that a unique key can hold names apart (NULLs are never equal).
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, String, Table, UniqueConstraint

from pileus.store.schema import Id, JsonText, LongText, Name, metadata

projects = Table(
    "projects",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(64), nullable=False),
    Column("owner", Id, nullable=False),
    Column("domain_id", Id, ForeignKey("projects.id"), index=True),
    Column("parent_id", Id, index=True),
    Column("is_domain", Boolean, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("description", LongText, nullable=False),
    Column("options", JsonText, nullable=False, server_default="{}"),
    Column("extra", JsonText),
    UniqueConstraint("owner", "name"),
)

project_tags = Table(
    "project_tags",
    metadata,
    Column("project_id", Id, ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    Column("tag", Name, primary_key=True),
)
