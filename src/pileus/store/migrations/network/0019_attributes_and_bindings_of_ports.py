"""Attributes and bindings of ports."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.store import schema


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "port_bindings",
        sa.Column("port_id", sa.String(length=36), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("vnic_type", sa.String(length=64), nullable=False),
        sa.Column("profile", schema.JsonText(), nullable=False),
        sa.Column("vif_type", sa.String(length=64), nullable=False),
        sa.Column("vif_details", schema.JsonText(), nullable=False),
        sa.ForeignKeyConstraint(
            ["port_id"], ["ports.id"], name=op.f("fk_port_bindings_port_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("port_id", "host", name=op.f("pk_port_bindings")),
    )
    with op.batch_alter_table("port_bindings", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_port_bindings_host"), ["host"], unique=False)

    with op.batch_alter_table("ports", schema=None) as batch_op:
        batch_op.add_column(sa.Column("dns_domain", sa.String(length=255), server_default="", nullable=False))
        batch_op.add_column(sa.Column("trusted", sa.Boolean(), nullable=True))
        batch_op.add_column(sa.Column("hints", schema.JsonText(), nullable=True))
        batch_op.add_column(sa.Column("data_plane_status", sa.String(length=16), nullable=True))
        batch_op.add_column(
            sa.Column("propagate_uplink_status", sa.Boolean(), server_default=sa.true(), nullable=False)
        )
        batch_op.add_column(sa.Column("device_profile", sa.String(length=255), nullable=True))
        batch_op.add_column(sa.Column("hardware_offload_type", sa.String(length=16), nullable=True))
        batch_op.add_column(sa.Column("numa_affinity_policy", sa.String(length=16), nullable=True))
        batch_op.add_column(
            sa.Column("ip_allocation", sa.String(length=16), server_default="immediate", nullable=False)
        )
