"""Room for long names of pools."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    """Go one revision up."""
    with op.batch_alter_table("volume_services", schema=None) as batch_op:
        batch_op.alter_column(
            "host", existing_type=sa.VARCHAR(length=255), type_=sa.String(length=400), existing_nullable=False
        )

    with op.batch_alter_table("volumes", schema=None) as batch_op:
        batch_op.alter_column(
            "host", existing_type=sa.VARCHAR(length=255), type_=sa.String(length=400), existing_nullable=True
        )
