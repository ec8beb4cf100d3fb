"""Sealed secrets and counted passcodes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.store import schema


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "totp_guesses",
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("proof", sa.Boolean(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("guesses", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_totp_guesses_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "proof", name=op.f("pk_totp_guesses")),
    )
    with op.batch_alter_table("oauth1_access_tokens", schema=None) as batch_op:
        batch_op.add_column(sa.Column("sealed", schema.LongText(), nullable=True))
        batch_op.alter_column("secret", existing_type=sa.VARCHAR(length=64), nullable=True)

    with op.batch_alter_table("oauth1_consumers", schema=None) as batch_op:
        batch_op.add_column(sa.Column("sealed", schema.LongText(), nullable=True))
        batch_op.alter_column("secret", existing_type=sa.VARCHAR(length=64), nullable=True)

    with op.batch_alter_table("oauth1_request_tokens", schema=None) as batch_op:
        batch_op.add_column(sa.Column("sealed", schema.LongText(), nullable=True))
        batch_op.alter_column("secret", existing_type=sa.VARCHAR(length=64), nullable=True)
