"""Endpoint groups and policies."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.store import schema


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "endpoint_groups",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", schema.LongText(), nullable=True),
        sa.Column("filters", schema.JsonText(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_endpoint_groups")),
    )
    op.create_table(
        "policies",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("type", sa.String(length=255), nullable=False),
        sa.Column("blob", schema.LongText(), nullable=False),
        sa.Column("extra", schema.JsonText(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policies")),
    )
    op.create_table(
        "project_endpoint_groups",
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("endpoint_group_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["endpoint_group_id"],
            ["endpoint_groups.id"],
            name=op.f("fk_project_endpoint_groups_endpoint_group_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["projects.id"],
            name=op.f("fk_project_endpoint_groups_project_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", "endpoint_group_id", name=op.f("pk_project_endpoint_groups")),
    )
    with op.batch_alter_table("project_endpoint_groups", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_project_endpoint_groups_endpoint_group_id"), ["endpoint_group_id"], unique=False
        )

    op.create_table(
        "policy_associations",
        sa.Column("place", sa.String(length=310), nullable=False),
        sa.Column("policy_id", sa.String(length=36), nullable=False),
        sa.Column("endpoint_id", sa.String(length=36), nullable=True),
        sa.Column("service_id", sa.String(length=36), nullable=True),
        sa.Column("region_id", sa.String(length=255), nullable=True),
        sa.ForeignKeyConstraint(
            ["endpoint_id"],
            ["endpoints.id"],
            name=op.f("fk_policy_associations_endpoint_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["policy_id"], ["policies.id"], name=op.f("fk_policy_associations_policy_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["region_id"], ["regions.id"], name=op.f("fk_policy_associations_region_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["service_id"],
            ["services.id"],
            name=op.f("fk_policy_associations_service_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("place", name=op.f("pk_policy_associations")),
    )
    with op.batch_alter_table("policy_associations", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_policy_associations_endpoint_id"), ["endpoint_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_policy_associations_policy_id"), ["policy_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_policy_associations_region_id"), ["region_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_policy_associations_service_id"), ["service_id"], unique=False)

    op.create_table(
        "project_endpoints",
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("endpoint_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["endpoint_id"],
            ["endpoints.id"],
            name=op.f("fk_project_endpoints_endpoint_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_project_endpoints_project_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project_id", "endpoint_id", name=op.f("pk_project_endpoints")),
    )
    with op.batch_alter_table("project_endpoints", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_project_endpoints_endpoint_id"), ["endpoint_id"], unique=False)
