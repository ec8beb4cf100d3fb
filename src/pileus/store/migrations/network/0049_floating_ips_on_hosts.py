"""Floating ips on hosts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "floating_ip_gateways",
        sa.Column("port_id", sa.String(length=36), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("network_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["network_id"], ["networks.id"], name=op.f("fk_floating_ip_gateways_network_id")
        ),
        sa.ForeignKeyConstraint(
            ["port_id"], ["ports.id"], name=op.f("fk_floating_ip_gateways_port_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("port_id", name=op.f("pk_floating_ip_gateways")),
        sa.UniqueConstraint("host", "network_id", name=op.f("uq_floating_ip_gateways_host_network_id")),
    )
    with op.batch_alter_table("floating_ip_gateways", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_floating_ip_gateways_network_id"), ["network_id"], unique=False)

    op.create_table(
        "floating_ip_hosts",
        sa.Column("floating_ip_id", sa.String(length=36), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("port_id", sa.String(length=36), nullable=False),
        sa.Column("fixed_ip_address", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["floating_ip_id"],
            ["floating_ips.id"],
            name=op.f("fk_floating_ip_hosts_floating_ip_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("floating_ip_id", name=op.f("pk_floating_ip_hosts")),
    )
