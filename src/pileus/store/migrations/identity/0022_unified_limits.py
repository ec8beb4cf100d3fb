"""Unified limits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.store import schema


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "registered_limits",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("service_id", sa.String(length=36), nullable=False),
        sa.Column("region_id", sa.String(length=255), nullable=True),
        sa.Column("region_key", sa.String(length=255), nullable=False),
        sa.Column("resource_name", sa.String(length=255), nullable=False),
        sa.Column("default_limit", sa.Integer(), nullable=False),
        sa.Column("description", schema.LongText(), nullable=True),
        sa.ForeignKeyConstraint(["region_id"], ["regions.id"], name=op.f("fk_registered_limits_region_id")),
        sa.ForeignKeyConstraint(
            ["service_id"], ["services.id"], name=op.f("fk_registered_limits_service_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_registered_limits")),
        sa.UniqueConstraint(
            "service_id",
            "region_key",
            "resource_name",
            name=op.f("uq_registered_limits_service_id_region_key_resource_name"),
        ),
    )
    with op.batch_alter_table("registered_limits", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_registered_limits_region_id"), ["region_id"], unique=False)

    op.create_table(
        "limits",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("registered_limit_id", sa.String(length=36), nullable=False),
        sa.Column("owner_id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=True),
        sa.Column("domain_id", sa.String(length=36), nullable=True),
        sa.Column("resource_limit", sa.Integer(), nullable=False),
        sa.Column("description", schema.LongText(), nullable=True),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["projects.id"], name=op.f("fk_limits_owner_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["registered_limit_id"],
            ["registered_limits.id"],
            name=op.f("fk_limits_registered_limit_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_limits")),
        sa.UniqueConstraint(
            "registered_limit_id", "owner_id", name=op.f("uq_limits_registered_limit_id_owner_id")
        ),
    )
    with op.batch_alter_table("limits", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_limits_owner_id"), ["owner_id"], unique=False)
