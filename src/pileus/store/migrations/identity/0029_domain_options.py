"""Domain options."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.store import schema


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "domain_options",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("domain_id", sa.String(length=36), nullable=False),
        sa.Column("group_name", sa.String(length=64), nullable=False),
        sa.Column("option_name", sa.String(length=64), nullable=False),
        sa.Column("value", schema.JsonText(), nullable=True),
        sa.Column("sealed", schema.LongText(), nullable=True),
        sa.ForeignKeyConstraint(
            ["domain_id"], ["projects.id"], name=op.f("fk_domain_options_domain_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_domain_options")),
        sa.UniqueConstraint(
            "domain_id",
            "group_name",
            "option_name",
            name=op.f("uq_domain_options_domain_id_group_name_option_name"),
        ),
    )
