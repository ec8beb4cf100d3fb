"""Transfers of volumes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.store import schema


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "volume_transfers",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("volume_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("salt", sa.String(length=32), nullable=False),
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("no_snapshots", sa.Boolean(), nullable=False),
        sa.Column("source_project_id", sa.String(length=36), nullable=False),
        sa.Column("created_at", schema.Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["volume_id"], ["volumes.id"], name=op.f("fk_volume_transfers_volume_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_volume_transfers")),
        sa.UniqueConstraint("volume_id", name=op.f("uq_volume_transfers_volume_id")),
    )
    with op.batch_alter_table("volume_transfers", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_volume_transfers_source_project_id"), ["source_project_id"], unique=False
        )
