"""Console tokens."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.store import schema


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "console_tokens",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("server_id", sa.String(length=36), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=True),
        sa.Column("ends_at", schema.Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["server_id"], ["servers.id"], name=op.f("fk_console_tokens_server_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_console_tokens")),
    )
    with op.batch_alter_table("console_tokens", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_console_tokens_ends_at"), ["ends_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_console_tokens_server_id"), ["server_id"], unique=False)
