"""Topologies made on demand."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "auto_allocated_topologies",
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("network_id", sa.String(length=36), nullable=False),
        sa.Column("router_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["network_id"],
            ["networks.id"],
            name=op.f("fk_auto_allocated_topologies_network_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["router_id"],
            ["routers.id"],
            name=op.f("fk_auto_allocated_topologies_router_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_auto_allocated_topologies")),
    )
    with op.batch_alter_table("auto_allocated_topologies", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_auto_allocated_topologies_network_id"), ["network_id"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_auto_allocated_topologies_router_id"), ["router_id"], unique=False
        )
