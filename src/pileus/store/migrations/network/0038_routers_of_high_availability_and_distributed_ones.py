"""Routers of high availability and distributed ones."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.store import schema


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "ha_networks",
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("network_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["network_id"], ["networks.id"], name=op.f("fk_ha_networks_network_id")),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_ha_networks")),
        sa.UniqueConstraint("network_id", name=op.f("uq_ha_networks_network_id")),
    )
    op.create_table(
        "ha_vr_ids",
        sa.Column("network_id", sa.String(length=36), nullable=False),
        sa.Column("vr_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("router_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["network_id"], ["networks.id"], name=op.f("fk_ha_vr_ids_network_id")),
        sa.ForeignKeyConstraint(
            ["router_id"], ["routers.id"], name=op.f("fk_ha_vr_ids_router_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("network_id", "vr_id", name=op.f("pk_ha_vr_ids")),
        sa.UniqueConstraint("router_id", name=op.f("uq_ha_vr_ids_router_id")),
    )
    _replace_bindings()
    with op.batch_alter_table("routers", schema=None) as batch_op:
        batch_op.add_column(sa.Column("distributed", sa.Boolean(), server_default=sa.false(), nullable=False))
        batch_op.add_column(sa.Column("ha", sa.Boolean(), server_default=sa.false(), nullable=False))


def _replace_bindings() -> None:
    """Let a router be hosted several times: another primary key, which no database changes alike."""
    columns = ("router_id", "agent_id", "bound_at")
    old = sa.table(
        "router_bindings",
        sa.column("router_id", sa.String()),
        sa.column("agent_id", sa.String()),
        sa.column("bound_at", schema.Moment()),
    )
    rows = [tuple(row) for row in op.get_bind().execute(sa.select(*(old.c[name] for name in columns)))]
    op.drop_table("router_bindings")
    new = op.create_table(
        "router_bindings",
        sa.Column("router_id", sa.String(length=36), nullable=False),
        sa.Column("binding_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("agent_id", sa.String(length=36), nullable=False),
        sa.Column("bound_at", schema.Moment(), nullable=False),
        sa.Column("ha_port_id", sa.String(length=36), nullable=True),
        sa.Column("ha_state", sa.String(length=16), nullable=True),
        sa.Column("ha_state_at", schema.Moment(), nullable=True),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_router_bindings_agent_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["ha_port_id"], ["ports.id"], name=op.f("fk_router_bindings_ha_port_id")),
        sa.ForeignKeyConstraint(
            ["router_id"], ["routers.id"], name=op.f("fk_router_bindings_router_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("router_id", "binding_index", name=op.f("pk_router_bindings")),
        sa.UniqueConstraint("router_id", "agent_id", name=op.f("uq_router_bindings_router_id_agent_id")),
    )
    with op.batch_alter_table("router_bindings", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_router_bindings_agent_id"), ["agent_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_router_bindings_ha_port_id"), ["ha_port_id"], unique=False)
    op.bulk_insert(new, [{**dict(zip(columns, row, strict=True)), "binding_index": 1} for row in rows])
