"""Hardware: what servers' images and flavors ask of their machines, as it was read when they were made."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.store import schema

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go one revision up."""
    with op.batch_alter_table("servers") as batch_op:
        batch_op.add_column(sa.Column("hardware", schema.JsonText(), nullable=True))
