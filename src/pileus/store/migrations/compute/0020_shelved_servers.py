"""Shelved servers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.store import schema


def upgrade() -> None:
    """Go one revision up."""
    with op.batch_alter_table("servers", schema=None) as batch_op:
        batch_op.add_column(sa.Column("shelved_image_id", sa.String(length=36), nullable=True))
        batch_op.add_column(sa.Column("rested_at", schema.Moment(), nullable=True))
        batch_op.create_index("ix_servers_rested_at", ["rested_at"], unique=False)
