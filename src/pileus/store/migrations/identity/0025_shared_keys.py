"""Shared keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.store import schema


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "shared_keys",
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("created_at", schema.Moment(), nullable=False),
        sa.Column("retired_at", schema.Moment(), nullable=True),
        sa.PrimaryKeyConstraint("purpose", "id", name=op.f("pk_shared_keys")),
    )
