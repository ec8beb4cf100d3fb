"""Several gateways."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    """Go one revision up."""
    with op.batch_alter_table("router_ports", schema=None) as batch_op:
        batch_op.add_column(sa.Column("gateway_index", sa.Integer(), server_default="0", nullable=False))

    with op.batch_alter_table("routers", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("enable_default_route_ecmp", sa.Boolean(), server_default=sa.false(), nullable=False)
        )
        batch_op.add_column(
            sa.Column("enable_default_route_bfd", sa.Boolean(), server_default=sa.false(), nullable=False)
        )
