"""Trusts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.store import schema


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "trusts",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("trustor_user_id", sa.String(length=36), nullable=False),
        sa.Column("trustee_user_id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=True),
        sa.Column("impersonation", sa.Boolean(), nullable=False),
        sa.Column("expires_at", schema.Moment(), nullable=True),
        sa.Column("remaining_uses", sa.Integer(), nullable=True),
        sa.Column("redelegation_count", sa.Integer(), nullable=False),
        sa.Column("redelegated_trust_id", sa.String(length=36), nullable=True),
        sa.Column("extra", schema.JsonText(), nullable=True),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_trusts_project_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["redelegated_trust_id"],
            ["trusts.id"],
            name=op.f("fk_trusts_redelegated_trust_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["trustee_user_id"], ["users.id"], name=op.f("fk_trusts_trustee_user_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["trustor_user_id"], ["users.id"], name=op.f("fk_trusts_trustor_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trusts")),
        sa.UniqueConstraint(
            "trustor_user_id",
            "trustee_user_id",
            "project_id",
            "impersonation",
            "expires_at",
            name="uq_trusts_alike",
        ),
    )
    with op.batch_alter_table("trusts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_trusts_project_id"), ["project_id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_trusts_redelegated_trust_id"), ["redelegated_trust_id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_trusts_trustee_user_id"), ["trustee_user_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_trusts_trustor_user_id"), ["trustor_user_id"], unique=False)

    op.create_table(
        "trust_roles",
        sa.Column("trust_id", sa.String(length=36), nullable=False),
        sa.Column("role_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["trust_id"], ["trusts.id"], name=op.f("fk_trust_roles_trust_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("trust_id", "role_id", name=op.f("pk_trust_roles")),
    )
