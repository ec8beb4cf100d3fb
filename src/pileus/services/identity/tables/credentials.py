"""Credentials that users keep here, and application credentials with their roles and access rules."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Integer, String, Table, Text, UniqueConstraint

from pileus.store.schema import BigInt, Id, JsonText, LongText, Moment, Name, UserId, metadata

# Users and projects are named as the client names them: Keystone asks for neither to exist.
credentials = Table(
    "credentials",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("user_id", String(64), nullable=False, index=True),
    Column("project_id", String(64), index=True),
    Column("type", Name, nullable=False),
    Column("sealed", LongText, nullable=False),
    # The last step of which a passcode was used, where this is a key of passcodes.
    Column("used_step", BigInt),
    Column("extra", JsonText),
)

# Passcodes of a user that were looked at in a step, those that came with another proof apart.
totp_guesses = Table(
    "totp_guesses",
    metadata,
    Column("user_id", UserId, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("proof", Boolean, primary_key=True),
    Column("step", BigInt, nullable=False),
    Column("guesses", Integer, nullable=False),
)

application_credentials = Table(
    "application_credentials",
    metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", UserId, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("project_id", Id, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", Name, nullable=False),
    Column("description", LongText),
    Column("secret_hash", Text, nullable=False),
    Column("expires_at", Moment),
    Column("unrestricted", Boolean, nullable=False),
    UniqueConstraint("user_id", "name"),
)

application_credential_roles = Table(
    "application_credential_roles",
    metadata,
    Column(
        "application_credential_id",
        Id,
        ForeignKey("application_credentials.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("role_id", Id, ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True, index=True),
)

access_rules = Table(
    "access_rules",
    metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", UserId, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("service", String(64), nullable=False),
    Column("method", String(8), nullable=False),
    Column("path", Name, nullable=False),
    UniqueConstraint("user_id", "service", "method", "path"),
)

# A rule that is in use is deleted by nobody: a credential that lost its last one would have no bounds.
application_credential_access_rules = Table(
    "application_credential_access_rules",
    metadata,
    Column(
        "application_credential_id",
        Id,
        ForeignKey("application_credentials.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("access_rule_id", Id, ForeignKey("access_rules.id"), primary_key=True, index=True),
)
