"""Groups of users, and their members."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Table, UniqueConstraint

from pileus.store.schema import Id, JsonText, LongText, Moment, Name, UserId, metadata

groups = Table(
    "groups",
    metadata,
    Column("id", UserId, primary_key=True),
    Column("name", Name, nullable=False),
    Column("domain_id", Id, ForeignKey("projects.id"), nullable=False),
    Column("description", LongText, nullable=False),
    Column("extra", JsonText),
    # Of a group of a directory: its id there, and since when it is no longer found in it.
    Column("local_id", Name),
    Column("gone_at", Moment),
    UniqueConstraint("domain_id", "name"),
)

group_members = Table(
    "group_members",
    metadata,
    Column("user_id", UserId, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("group_id", UserId, ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True, index=True),
)
