"""Failed logins."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.store import schema


def upgrade() -> None:
    """Go one revision up."""
    with op.batch_alter_table("users", schema=None) as batch_op:
        batch_op.add_column(sa.Column("failed_auth_count", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("failed_auth_at", schema.Moment(), nullable=True))
