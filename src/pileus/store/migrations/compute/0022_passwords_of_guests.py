"""Passwords of guests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.store import schema


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "guest_passwords",
        sa.Column("server_id", sa.String(length=36), nullable=False),
        sa.Column("password", schema.LongText(), nullable=False),
        sa.ForeignKeyConstraint(
            ["server_id"], ["servers.id"], name=op.f("fk_guest_passwords_server_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("server_id", name=op.f("pk_guest_passwords")),
    )
