"""Users. A password is kept as its argon2id hash; what ends a user's tokens moves ``tokens_after``."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Integer, Table, Text, UniqueConstraint

from pileus.store.schema import Id, JsonText, Moment, Name, metadata

users = Table(
    "users",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Name, nullable=False),
    Column("domain_id", Id, ForeignKey("projects.id"), nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("default_project_id", Id, index=True),
    Column("password_hash", Text),
    Column("tokens_after", Moment, nullable=False),
    Column("failed_auth_count", Integer, nullable=False, server_default="0"),
    Column("failed_auth_at", Moment),
    Column("extra", JsonText),
    UniqueConstraint("domain_id", "name"),
)
