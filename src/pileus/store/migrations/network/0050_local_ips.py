"""Local IPs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "local_ips",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=1024), nullable=False),
        sa.Column("local_port_id", sa.String(length=36), nullable=False),
        sa.Column("network_id", sa.String(length=36), nullable=False),
        sa.Column("local_ip_address", sa.String(length=64), nullable=False),
        sa.Column("ip_mode", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["local_port_id"], ["ports.id"], name=op.f("fk_local_ips_local_port_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_local_ips")),
    )
    with op.batch_alter_table("local_ips", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_local_ips_local_port_id"), ["local_port_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_local_ips_project_id"), ["project_id"], unique=False)

    op.create_table(
        "local_ip_associations",
        sa.Column("local_ip_id", sa.String(length=36), nullable=False),
        sa.Column("fixed_port_id", sa.String(length=36), nullable=False),
        sa.Column("fixed_ip", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["fixed_port_id"],
            ["ports.id"],
            name=op.f("fk_local_ip_associations_fixed_port_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["local_ip_id"], ["local_ips.id"], name=op.f("fk_local_ip_associations_local_ip_id")
        ),
        sa.PrimaryKeyConstraint("local_ip_id", "fixed_port_id", name=op.f("pk_local_ip_associations")),
    )
    with op.batch_alter_table("local_ip_associations", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_local_ip_associations_fixed_port_id"), ["fixed_port_id"], unique=False
        )
