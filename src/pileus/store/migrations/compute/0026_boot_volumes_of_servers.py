"""Boot volumes of servers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    """Go one revision up."""
    with op.batch_alter_table("server_volumes", schema=None) as batch_op:
        batch_op.add_column(sa.Column("bus", sa.String(length=8), nullable=True))
        batch_op.add_column(sa.Column("boot_index", sa.Integer(), nullable=True))
