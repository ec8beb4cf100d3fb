"""Access rules."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "access_rules",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("service", sa.String(length=64), nullable=False),
        sa.Column("method", sa.String(length=8), nullable=False),
        sa.Column("path", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_access_rules_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_rules")),
        sa.UniqueConstraint(
            "user_id", "service", "method", "path", name=op.f("uq_access_rules_user_id_service_method_path")
        ),
    )
    op.create_table(
        "application_credential_access_rules",
        sa.Column("application_credential_id", sa.String(length=36), nullable=False),
        sa.Column("access_rule_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["access_rule_id"],
            ["access_rules.id"],
            name=op.f("fk_application_credential_access_rules_access_rule_id"),
        ),
        sa.ForeignKeyConstraint(
            ["application_credential_id"],
            ["application_credentials.id"],
            name=op.f("fk_application_credential_access_rules_application_credential_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "application_credential_id", "access_rule_id", name=op.f("pk_application_credential_access_rules")
        ),
    )
    with op.batch_alter_table("application_credential_access_rules", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_application_credential_access_rules_access_rule_id"),
            ["access_rule_id"],
            unique=False,
        )
