"""Resources told by operators."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.store import schema


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "placement_aggregates",
        sa.Column("provider_id", sa.String(length=36), nullable=False),
        sa.Column("aggregate_id", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("provider_id", "aggregate_id", name=op.f("pk_placement_aggregates")),
    )
    op.create_table(
        "placement_classes",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("created_at", schema.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_placement_classes")),
    )
    op.create_table(
        "placement_consumers",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=255), nullable=True),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("updated_at", schema.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_placement_consumers")),
    )
    with op.batch_alter_table("placement_consumers", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_placement_consumers_project_id"), ["project_id"], unique=False)

    op.create_table(
        "placement_inventories",
        sa.Column("provider_id", sa.String(length=36), nullable=False),
        sa.Column("resource_class", sa.String(length=255), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.Column("min_unit", sa.BigInteger(), nullable=False),
        sa.Column("max_unit", sa.BigInteger(), nullable=False),
        sa.Column("step_size", sa.BigInteger(), nullable=False),
        sa.Column("allocation_ratio", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("provider_id", "resource_class", name=op.f("pk_placement_inventories")),
    )
    op.create_table(
        "placement_provider_traits",
        sa.Column("provider_id", sa.String(length=36), nullable=False),
        sa.Column("trait", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("provider_id", "trait", name=op.f("pk_placement_provider_traits")),
    )
    op.create_table(
        "placement_providers",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("derived", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("parent_id", sa.String(length=36), nullable=True),
        sa.Column("root_id", sa.String(length=36), nullable=False),
        sa.Column("created_at", schema.Moment(), nullable=False),
        sa.Column("updated_at", schema.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_placement_providers")),
        sa.UniqueConstraint("name", name=op.f("uq_placement_providers_name")),
    )
    with op.batch_alter_table("placement_providers", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_placement_providers_root_id"), ["root_id"], unique=False)

    op.create_table(
        "placement_traits",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("created_at", schema.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_placement_traits")),
    )
    op.create_table(
        "placement_allocations",
        sa.Column("consumer_id", sa.String(length=36), nullable=False),
        sa.Column("provider_id", sa.String(length=36), nullable=False),
        sa.Column("resource_class", sa.String(length=255), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["consumer_id"],
            ["placement_consumers.id"],
            name=op.f("fk_placement_allocations_consumer_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "consumer_id", "provider_id", "resource_class", name=op.f("pk_placement_allocations")
        ),
    )
    with op.batch_alter_table("placement_allocations", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_placement_allocations_provider_id"), ["provider_id"], unique=False
        )

    with op.batch_alter_table("allocations", schema=None) as batch_op:
        batch_op.add_column(sa.Column("resources", schema.JsonText(), nullable=True))

    with op.batch_alter_table("server_migrations", schema=None) as batch_op:
        batch_op.add_column(sa.Column("held_resources", schema.JsonText(), nullable=True))
