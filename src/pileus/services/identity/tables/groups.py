"""Groups of users, and their members."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Table, UniqueConstraint

from pileus.store.schema import Id, JsonText, LongText, Name, metadata

groups = Table(
    "groups",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Name, nullable=False),
    Column("domain_id", Id, ForeignKey("projects.id"), nullable=False),
    Column("description", LongText, nullable=False),
    Column("extra", JsonText),
    UniqueConstraint("domain_id", "name"),
)

group_members = Table(
    "group_members",
    metadata,
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("group_id", Id, ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True, index=True),
)
