"""Tasks of images."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.store import schema


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "image_tasks",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("type", sa.String(length=30), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("image_id", sa.String(length=36), nullable=True),
        sa.Column("user_id", sa.String(length=255), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("input", schema.JsonText(), nullable=False),
        sa.Column("result", schema.JsonText(), nullable=True),
        sa.Column("message", schema.LongText(), nullable=False),
        sa.Column("created_at", schema.Moment(), nullable=False),
        sa.Column("updated_at", schema.Moment(), nullable=False),
        sa.Column("expires_at", schema.Moment(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image_tasks")),
    )
    with op.batch_alter_table("image_tasks", schema=None) as batch_op:
        batch_op.create_index("ix_image_tasks_expires_at", ["expires_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_image_tasks_image_id"), ["image_id"], unique=False)
