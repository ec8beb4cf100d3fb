"""Backups of volumes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.store import schema


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "volume_backups",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("fail_reason", schema.LongText(), nullable=True),
        sa.Column("size_gib", sa.Integer(), nullable=False),
        sa.Column("object_count", sa.Integer(), nullable=False),
        sa.Column("availability_zone", sa.String(length=255), nullable=True),
        sa.Column("container", sa.String(length=255), nullable=False),
        sa.Column("volume_id", sa.String(length=36), nullable=False),
        sa.Column("snapshot_id", sa.String(length=36), nullable=True),
        sa.Column("parent_id", sa.String(length=36), nullable=True),
        sa.Column("restoring_to", sa.String(length=36), nullable=True),
        sa.Column("place", sa.String(length=300), nullable=False),
        sa.Column("location", sa.String(length=300), nullable=False),
        sa.Column("stored_as", sa.String(length=36), nullable=False),
        sa.Column("node", sa.String(length=255), nullable=False),
        sa.Column("metadata", schema.JsonText(), nullable=False),
        sa.Column("volume_facts", schema.JsonText(), nullable=False),
        sa.Column("data_timestamp", schema.Moment(), nullable=False),
        sa.Column("created_at", schema.Moment(), nullable=False),
        sa.Column("updated_at", schema.Moment(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_volume_backups")),
    )
    with op.batch_alter_table("volume_backups", schema=None) as batch_op:
        batch_op.create_index("ix_volume_backups_node", ["node"], unique=False)
        batch_op.create_index(batch_op.f("ix_volume_backups_parent_id"), ["parent_id"], unique=False)
        batch_op.create_index("ix_volume_backups_project", ["project_id", "created_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_volume_backups_stored_as"), ["stored_as"], unique=False)
        batch_op.create_index(batch_op.f("ix_volume_backups_volume_id"), ["volume_id"], unique=False)

    with op.batch_alter_table("volume_pools", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("backup_place", sa.String(length=64), server_default="", nullable=False)
        )
