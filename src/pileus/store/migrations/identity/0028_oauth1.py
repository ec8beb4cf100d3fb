"""Oauth1."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.store import schema


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "oauth1_consumers",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("description", schema.LongText(), nullable=True),
        sa.Column("secret", sa.String(length=64), nullable=False),
        sa.Column("extra", schema.JsonText(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_oauth1_consumers")),
    )
    op.create_table(
        "oauth1_nonces",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("expires_at", schema.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_oauth1_nonces")),
    )
    with op.batch_alter_table("oauth1_nonces", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_oauth1_nonces_expires_at"), ["expires_at"], unique=False)

    op.create_table(
        "oauth1_access_tokens",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("secret", sa.String(length=64), nullable=False),
        sa.Column("consumer_id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("role_ids", schema.JsonText(), nullable=False),
        sa.Column("expires_at", schema.Moment(), nullable=True),
        sa.ForeignKeyConstraint(
            ["consumer_id"],
            ["oauth1_consumers.id"],
            name=op.f("fk_oauth1_access_tokens_consumer_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["projects.id"],
            name=op.f("fk_oauth1_access_tokens_project_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_oauth1_access_tokens_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_oauth1_access_tokens")),
    )
    with op.batch_alter_table("oauth1_access_tokens", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_oauth1_access_tokens_consumer_id"), ["consumer_id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_oauth1_access_tokens_project_id"), ["project_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_oauth1_access_tokens_user_id"), ["user_id"], unique=False)

    op.create_table(
        "oauth1_request_tokens",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("secret", sa.String(length=64), nullable=False),
        sa.Column("consumer_id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=True),
        sa.Column("role_ids", schema.JsonText(), nullable=True),
        sa.Column("verifier", sa.String(length=16), nullable=True),
        sa.Column("expires_at", schema.Moment(), nullable=True),
        sa.ForeignKeyConstraint(
            ["consumer_id"],
            ["oauth1_consumers.id"],
            name=op.f("fk_oauth1_request_tokens_consumer_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["projects.id"],
            name=op.f("fk_oauth1_request_tokens_project_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_oauth1_request_tokens_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_oauth1_request_tokens")),
    )
    with op.batch_alter_table("oauth1_request_tokens", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_oauth1_request_tokens_consumer_id"), ["consumer_id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_oauth1_request_tokens_expires_at"), ["expires_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_oauth1_request_tokens_project_id"), ["project_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_oauth1_request_tokens_user_id"), ["user_id"], unique=False)
