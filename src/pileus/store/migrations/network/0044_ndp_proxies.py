"""Ndp proxies."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.store import schema


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "ndp_proxies",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("router_id", sa.String(length=36), nullable=False),
        sa.Column("port_id", sa.String(length=36), nullable=False),
        sa.Column("ip_address", sa.String(length=64), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("revision_number", sa.Integer(), nullable=False),
        sa.Column("created_at", schema.Moment(), nullable=False),
        sa.Column("updated_at", schema.Moment(), nullable=False),
        sa.ForeignKeyConstraint(["port_id"], ["ports.id"], name=op.f("fk_ndp_proxies_port_id")),
        sa.ForeignKeyConstraint(["router_id"], ["routers.id"], name=op.f("fk_ndp_proxies_router_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ndp_proxies")),
        sa.UniqueConstraint("router_id", "ip_address", name=op.f("uq_ndp_proxies_router_id_ip_address")),
    )
    with op.batch_alter_table("ndp_proxies", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_ndp_proxies_port_id"), ["port_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_ndp_proxies_project_id"), ["project_id"], unique=False)

    with op.batch_alter_table("routers", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("enable_ndp_proxy", sa.Boolean(), server_default=sa.false(), nullable=False)
        )
