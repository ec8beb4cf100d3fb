"""Address groups."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.store import schema


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "address_groups",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("revision_number", sa.Integer(), nullable=False),
        sa.Column("created_at", schema.Moment(), nullable=False),
        sa.Column("updated_at", schema.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_address_groups")),
    )
    with op.batch_alter_table("address_groups", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_address_groups_project_id"), ["project_id"], unique=False)

    op.create_table(
        "address_group_addresses",
        sa.Column("address_group_id", sa.String(length=36), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["address_group_id"],
            ["address_groups.id"],
            name=op.f("fk_address_group_addresses_address_group_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("address_group_id", "address", name=op.f("pk_address_group_addresses")),
    )
    with op.batch_alter_table("security_group_rules", schema=None) as batch_op:
        batch_op.add_column(sa.Column("remote_address_group_id", sa.String(length=36), nullable=True))
        batch_op.create_index(
            batch_op.f("ix_security_group_rules_remote_address_group_id"),
            ["remote_address_group_id"],
            unique=False,
        )
        batch_op.create_foreign_key(
            batch_op.f("fk_security_group_rules_remote_address_group_id"),
            "address_groups",
            ["remote_address_group_id"],
            ["id"],
        )
