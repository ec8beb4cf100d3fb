"""Published names."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.store import schema


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "dns_records",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("record_type", sa.String(length=8), nullable=False),
        sa.Column("data", sa.String(length=255), nullable=False),
        sa.Column("resource_id", sa.String(length=36), nullable=False),
        sa.Column("resource_type", sa.String(length=16), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=255), nullable=True),
        sa.Column("updated_at", schema.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("name", "record_type", "data", "resource_id", name=op.f("pk_dns_records")),
    )
    with op.batch_alter_table("dns_records", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_dns_records_resource_id"), ["resource_id"], unique=False)

    with op.batch_alter_table("ports", schema=None) as batch_op:
        batch_op.add_column(sa.Column("dns_keywords", schema.JsonText(), nullable=True))
