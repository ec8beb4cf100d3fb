"""Volumes of servers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.store import schema


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "server_volumes",
        sa.Column("attachment_id", sa.String(length=36), nullable=False),
        sa.Column("server_id", sa.String(length=36), nullable=False),
        sa.Column("volume_id", sa.String(length=36), nullable=False),
        sa.Column("target", sa.String(length=16), nullable=False),
        sa.Column("tag", sa.String(length=64), nullable=True),
        sa.Column("delete_on_termination", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created_at", schema.Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["server_id"], ["servers.id"], name=op.f("fk_server_volumes_server_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("attachment_id", name=op.f("pk_server_volumes")),
        sa.UniqueConstraint("server_id", "target", name=op.f("uq_server_volumes_server_id_target")),
    )
    with op.batch_alter_table("server_volumes", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_server_volumes_server_id"), ["server_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_server_volumes_volume_id"), ["volume_id"], unique=False)
