"""Users. A password is kept as its argon2id hash; what ends a user's tokens moves ``tokens_after``.

Of earlier passwords as many hashes are kept as ``unique_last_password_count`` asks for.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Integer, Table, Text, UniqueConstraint, false

from pileus.store.schema import Id, JsonText, Moment, Name, UserId, metadata

users = Table(
    "users",
    metadata,
    Column("id", UserId, primary_key=True),
    Column("name", Name, nullable=False),
    Column("domain_id", Id, ForeignKey("projects.id"), nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("default_project_id", Id, index=True),
    Column("password_hash", Text),
    Column("password_created_at", Moment),
    Column("password_expires_at", Moment, index=True),
    Column("password_self_service", Boolean, nullable=False, server_default=false()),
    Column("created_at", Moment),
    Column("last_active_at", Moment),
    Column("options", JsonText, nullable=False, server_default="{}"),
    Column("tokens_after", Moment, nullable=False),
    Column("failed_auth_count", Integer, nullable=False, server_default="0"),
    Column("failed_auth_at", Moment),
    Column("extra", JsonText),
    # Empty, or of who came from an identity provider, his own id again: names there are not unique.
    Column("origin", UserId, nullable=False, server_default=""),
    # Of a user of a directory: his id there, and since when he is no longer found in it.
    Column("local_id", Name),
    Column("gone_at", Moment),
    UniqueConstraint("domain_id", "name", "origin"),
)

old_passwords = Table(
    "old_passwords",
    metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", UserId, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("replaced_at", Moment, nullable=False),
    Column("password_hash", Text, nullable=False),
)
