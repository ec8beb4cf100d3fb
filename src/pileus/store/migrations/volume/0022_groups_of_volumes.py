"""Groups of volumes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.store import schema


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "volume_group_types",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("is_public", sa.Boolean(), nullable=False),
        sa.Column("group_specs", schema.JsonText(), nullable=False),
        sa.Column("created_at", schema.Moment(), nullable=False),
        sa.Column("updated_at", schema.Moment(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_volume_group_types")),
        sa.UniqueConstraint("name", name=op.f("uq_volume_group_types_name")),
    )
    op.create_table(
        "volume_groups",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("availability_zone", sa.String(length=255), nullable=True),
        sa.Column("group_type_id", sa.String(length=36), nullable=False),
        sa.Column("volume_types", schema.JsonText(), nullable=False),
        sa.Column("group_snapshot_id", sa.String(length=36), nullable=True),
        sa.Column("source_group_id", sa.String(length=36), nullable=True),
        sa.Column("host", sa.String(length=400), nullable=True),
        sa.Column("node", sa.String(length=255), nullable=True),
        sa.Column("created_at", schema.Moment(), nullable=False),
        sa.Column("updated_at", schema.Moment(), nullable=True),
        sa.ForeignKeyConstraint(
            ["group_type_id"], ["volume_group_types.id"], name=op.f("fk_volume_groups_group_type_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_volume_groups")),
    )
    with op.batch_alter_table("volume_groups", schema=None) as batch_op:
        batch_op.create_index("ix_volume_groups_node", ["node"], unique=False)
        batch_op.create_index("ix_volume_groups_project", ["project_id", "created_at"], unique=False)

    op.create_table(
        "volume_group_snapshots",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("group_id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("group_type_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("created_at", schema.Moment(), nullable=False),
        sa.Column("updated_at", schema.Moment(), nullable=True),
        sa.ForeignKeyConstraint(
            ["group_id"], ["volume_groups.id"], name=op.f("fk_volume_group_snapshots_group_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_volume_group_snapshots")),
    )
    with op.batch_alter_table("volume_group_snapshots", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_volume_group_snapshots_group_id"), ["group_id"], unique=False)
        batch_op.create_index("ix_volume_group_snapshots_project", ["project_id", "created_at"], unique=False)
