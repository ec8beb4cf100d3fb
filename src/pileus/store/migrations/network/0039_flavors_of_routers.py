"""Flavors of routers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.store import schema


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "network_flavors",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("service_type", sa.String(length=36), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_network_flavors")),
    )
    op.create_table(
        "service_profiles",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("driver", sa.String(length=1024), nullable=False),
        sa.Column("metainfo", sa.String(length=4096), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_profiles")),
    )
    op.create_table(
        "flavor_service_profiles",
        sa.Column("flavor_id", sa.String(length=36), nullable=False),
        sa.Column("service_profile_id", sa.String(length=36), nullable=False),
        sa.Column("bound_at", schema.Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["flavor_id"],
            ["network_flavors.id"],
            name=op.f("fk_flavor_service_profiles_flavor_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["service_profile_id"],
            ["service_profiles.id"],
            name=op.f("fk_flavor_service_profiles_service_profile_id"),
        ),
        sa.PrimaryKeyConstraint("flavor_id", "service_profile_id", name=op.f("pk_flavor_service_profiles")),
    )
    with op.batch_alter_table("flavor_service_profiles", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_flavor_service_profiles_service_profile_id"), ["service_profile_id"], unique=False
        )

    with op.batch_alter_table("routers", schema=None) as batch_op:
        batch_op.add_column(sa.Column("flavor_id", sa.String(length=36), nullable=True))
        batch_op.create_index(batch_op.f("ix_routers_flavor_id"), ["flavor_id"], unique=False)
        batch_op.create_foreign_key(
            batch_op.f("fk_routers_flavor_id"), "network_flavors", ["flavor_id"], ["id"]
        )
