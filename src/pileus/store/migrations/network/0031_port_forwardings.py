"""Port forwardings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "port_forwardings",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("floatingip_id", sa.String(length=36), nullable=False),
        sa.Column("internal_port_id", sa.String(length=36), nullable=False),
        sa.Column("internal_ip_address", sa.String(length=64), nullable=False),
        sa.Column("protocol", sa.String(length=8), nullable=False),
        sa.Column("internal_port", sa.Integer(), nullable=True),
        sa.Column("internal_port_range", sa.String(length=16), nullable=False),
        sa.Column("external_port", sa.Integer(), nullable=True),
        sa.Column("external_port_range", sa.String(length=16), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["floatingip_id"], ["floating_ips.id"], name=op.f("fk_port_forwardings_floatingip_id")
        ),
        sa.ForeignKeyConstraint(
            ["internal_port_id"], ["ports.id"], name=op.f("fk_port_forwardings_internal_port_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_port_forwardings")),
        sa.UniqueConstraint(
            "floatingip_id", "protocol", "external_port_range", name="uq_port_forwardings_external"
        ),
        sa.UniqueConstraint(
            "internal_port_id",
            "internal_ip_address",
            "protocol",
            "internal_port_range",
            name="uq_port_forwardings_internal",
        ),
    )
