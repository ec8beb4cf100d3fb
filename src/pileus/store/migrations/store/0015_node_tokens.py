"""Which tokens nodes have shown, and whose are refused."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.store import schema


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "node_tokens",
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("issued_at", schema.Moment(), nullable=True),
        sa.Column("ends_at", schema.Moment(), nullable=True),
        sa.Column("refused_before", schema.Moment(), nullable=True),
        sa.PrimaryKeyConstraint("host", name=op.f("pk_node_tokens")),
    )
