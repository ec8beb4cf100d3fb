"""Live migrations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.store import schema


def upgrade() -> None:
    """Go one revision up."""
    with op.batch_alter_table("compute_nodes", schema=None) as batch_op:
        batch_op.add_column(sa.Column("certificate", schema.LongText(), nullable=True))

    with op.batch_alter_table("server_migrations", schema=None) as batch_op:
        batch_op.add_column(sa.Column("progress", schema.JsonText(), nullable=True))
