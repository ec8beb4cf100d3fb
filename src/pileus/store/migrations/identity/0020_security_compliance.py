"""Security compliance."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.store import schema


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "old_passwords",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("replaced_at", schema.Moment(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_old_passwords_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_old_passwords")),
    )
    with op.batch_alter_table("old_passwords", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_old_passwords_user_id"), ["user_id"], unique=False)

    with op.batch_alter_table("users", schema=None) as batch_op:
        batch_op.add_column(sa.Column("password_created_at", schema.Moment(), nullable=True))
        batch_op.add_column(sa.Column("password_expires_at", schema.Moment(), nullable=True))
        batch_op.add_column(
            sa.Column("password_self_service", sa.Boolean(), server_default=sa.false(), nullable=False)
        )
        batch_op.add_column(sa.Column("created_at", schema.Moment(), nullable=True))
        batch_op.add_column(sa.Column("last_active_at", schema.Moment(), nullable=True))
        batch_op.add_column(sa.Column("options", schema.JsonText(), server_default="{}", nullable=False))
        batch_op.create_index(
            batch_op.f("ix_users_password_expires_at"), ["password_expires_at"], unique=False
        )
