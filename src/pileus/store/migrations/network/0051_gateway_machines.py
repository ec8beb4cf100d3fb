"""Gateway machines."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.store import schema


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "gateway_machines",
        sa.Column("router_id", sa.String(length=36), nullable=False),
        sa.Column("server_id", sa.String(length=36), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(length=1024), nullable=True),
        sa.Column("try_at", schema.Moment(), nullable=True),
        sa.Column("ailing_since", schema.Moment(), nullable=True),
        sa.Column("created_at", schema.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("router_id", name=op.f("pk_gateway_machines")),
        sa.UniqueConstraint("server_id", name=op.f("uq_gateway_machines_server_id")),
    )
    with op.batch_alter_table("routers", schema=None) as batch_op:
        batch_op.add_column(sa.Column("gateway_vm", sa.Boolean(), server_default=sa.false(), nullable=False))
