"""Taps."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.store import schema


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "tap_mirrors",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("port_id", sa.String(length=36), nullable=False),
        sa.Column("directions", schema.JsonText(), nullable=False),
        sa.Column("remote_ip", sa.String(length=64), nullable=False),
        sa.Column("mirror_type", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(
            ["port_id"], ["ports.id"], name=op.f("fk_tap_mirrors_port_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tap_mirrors")),
    )
    with op.batch_alter_table("tap_mirrors", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tap_mirrors_port_id"), ["port_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_tap_mirrors_project_id"), ["project_id"], unique=False)

    op.create_table(
        "tap_services",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("port_id", sa.String(length=36), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["port_id"], ["ports.id"], name=op.f("fk_tap_services_port_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tap_services")),
        sa.UniqueConstraint("number", name=op.f("uq_tap_services_number")),
    )
    with op.batch_alter_table("tap_services", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tap_services_port_id"), ["port_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_tap_services_project_id"), ["project_id"], unique=False)

    op.create_table(
        "tap_flows",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("tap_service_id", sa.String(length=36), nullable=False),
        sa.Column("source_port", sa.String(length=36), nullable=False),
        sa.Column("direction", sa.String(length=4), nullable=False),
        sa.Column("vlan_filter", sa.String(length=1024), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(
            ["source_port"], ["ports.id"], name=op.f("fk_tap_flows_source_port"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tap_service_id"],
            ["tap_services.id"],
            name=op.f("fk_tap_flows_tap_service_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tap_flows")),
    )
    with op.batch_alter_table("tap_flows", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tap_flows_project_id"), ["project_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_tap_flows_source_port"), ["source_port"], unique=False)
        batch_op.create_index(batch_op.f("ix_tap_flows_tap_service_id"), ["tap_service_id"], unique=False)
