"""Hardware: what servers' images and flavors ask of their machines, as it was read when they were made."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.store import schema


def upgrade() -> None:
    """Go one revision up."""
    with op.batch_alter_table("servers") as batch_op:
        batch_op.add_column(sa.Column("hardware", schema.JsonText(), nullable=True))
