"""Migrations of servers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.store import schema


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "server_migrations",
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("server_id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("source_host", sa.String(length=255), nullable=False),
        sa.Column("source_node", sa.String(length=255), nullable=True),
        sa.Column("dest_host", sa.String(length=255), nullable=True),
        sa.Column("dest_node", sa.String(length=255), nullable=True),
        sa.Column("old_values", schema.JsonText(), nullable=False),
        sa.Column("new_values", schema.JsonText(), nullable=False),
        sa.Column("held_host", sa.String(length=255), nullable=True),
        sa.Column("held_vcpus", sa.Integer(), nullable=False),
        sa.Column("held_memory_mib", sa.Integer(), nullable=False),
        sa.Column("held_disk_gib", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=True),
        sa.Column("project_id", sa.String(length=36), nullable=True),
        sa.Column("created_at", schema.Moment(), nullable=False),
        sa.Column("updated_at", schema.Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["server_id"], ["servers.id"], name=op.f("fk_server_migrations_server_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_server_migrations")),
        sa.UniqueConstraint("id", name=op.f("uq_server_migrations_id")),
    )
    with op.batch_alter_table("server_migrations", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_server_migrations_held_host"), ["held_host"], unique=False)
        batch_op.create_index(batch_op.f("ix_server_migrations_server_id"), ["server_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_server_migrations_updated_at"), ["updated_at"], unique=False)

    with op.batch_alter_table("servers", schema=None) as batch_op:
        batch_op.add_column(sa.Column("kept_host", sa.String(length=255), nullable=True))
        batch_op.add_column(sa.Column("carried", schema.JsonText(), nullable=True))
        batch_op.create_index(batch_op.f("ix_servers_kept_host"), ["kept_host"], unique=False)
