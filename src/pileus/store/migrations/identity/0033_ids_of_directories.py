"""Ids of directories: users and groups have ids of up to 64 characters, and know their ids in a directory."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.store import schema

_USERS, _GROUPS = "users", "groups"
_COLUMNS: dict[str, dict[str, str | None]] = {
    "users": {"id": None, "origin": None},
    "groups": {"id": None},
    "access_rules": {"user_id": _USERS},
    "application_credentials": {"user_id": _USERS},
    "expiring_memberships": {"user_id": _USERS, "group_id": _GROUPS},
    "federated_users": {"user_id": _USERS},
    "grants": {"actor_id": None},
    "group_members": {"user_id": _USERS, "group_id": _GROUPS},
    "oauth1_access_tokens": {"user_id": _USERS},
    "oauth1_request_tokens": {"user_id": _USERS},
    "old_passwords": {"user_id": _USERS},
    "revocations": {"user_id": None},
    "totp_guesses": {"user_id": _USERS},
    "trusts": {"trustor_user_id": _USERS, "trustee_user_id": _USERS},
}
"""Columns of ids of users and groups, by their tables, each with the table that its foreign key refers to."""


def upgrade() -> None:
    """Go one revision up."""
    # MariaDB changes no column that a foreign key needs. It commits each statement by itself, so each can be
    # repeated after an interruption.
    mariadb = op.get_bind().dialect.name == "mysql"
    keys = [(table, name, to) for table, names in _COLUMNS.items() for name, to in names.items() if to]
    for table, name, _ in keys if mariadb else ():
        op.execute(sa.text(f"ALTER TABLE {table} DROP FOREIGN KEY IF EXISTS fk_{table}_{name}"))
    for table, columns in _COLUMNS.items():
        with op.batch_alter_table(table, schema=None) as batch_op:
            for name in columns:
                batch_op.alter_column(
                    name,
                    existing_type=sa.VARCHAR(length=36),
                    type_=sa.String(length=64),
                    existing_nullable=(table, name) == ("oauth1_request_tokens", "user_id"),
                    existing_server_default="" if name == "origin" else None,
                )
    for table in (_USERS, _GROUPS):
        with op.batch_alter_table(table, schema=None) as batch_op:
            for column in (
                sa.Column("local_id", sa.String(length=255), nullable=True),
                sa.Column("gone_at", schema.Moment(), nullable=True),
            ):
                batch_op.add_column(column, if_not_exists=mariadb)
    for table, name, to in keys if mariadb else ():
        key = f"fk_{table}_{name} FOREIGN KEY ({name}) REFERENCES {to} (id) ON DELETE CASCADE"
        op.execute(sa.text(f"ALTER TABLE {table} ADD CONSTRAINT {key}"))
