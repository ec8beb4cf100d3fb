"""Federation."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.store import schema


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "mappings",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("rules", schema.JsonText(), nullable=False),
        sa.Column("schema_version", sa.String(length=5), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mappings")),
    )
    op.create_table(
        "service_providers",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("auth_url", sa.String(length=256), nullable=False),
        sa.Column("sp_url", sa.String(length=256), nullable=False),
        sa.Column("description", schema.LongText(), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("relay_state_prefix", sa.String(length=256), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_providers")),
    )
    op.create_table(
        "identity_providers",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("domain_id", sa.String(length=36), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("description", schema.LongText(), nullable=True),
        sa.Column("authorization_ttl", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["domain_id"], ["projects.id"], name=op.f("fk_identity_providers_domain_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity_providers")),
    )
    with op.batch_alter_table("identity_providers", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_identity_providers_domain_id"), ["domain_id"], unique=False)

    op.create_table(
        "expiring_memberships",
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("group_id", sa.String(length=36), nullable=False),
        sa.Column("expires_at", schema.Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["group_id"], ["groups.id"], name=op.f("fk_expiring_memberships_group_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_expiring_memberships_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "group_id", name=op.f("pk_expiring_memberships")),
    )
    with op.batch_alter_table("expiring_memberships", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_expiring_memberships_group_id"), ["group_id"], unique=False)

    op.create_table(
        "federated_users",
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("idp_id", sa.String(length=64), nullable=False),
        sa.Column("protocol_id", sa.String(length=64), nullable=False),
        sa.Column("unique_id", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["idp_id"], ["identity_providers.id"], name=op.f("fk_federated_users_idp_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_federated_users_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_federated_users")),
        sa.UniqueConstraint(
            "idp_id", "protocol_id", "unique_id", name=op.f("uq_federated_users_idp_id_protocol_id_unique_id")
        ),
    )
    op.create_table(
        "federation_protocols",
        sa.Column("idp_id", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("mapping_id", sa.String(length=64), nullable=False),
        sa.Column("remote_id_attribute", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(
            ["idp_id"],
            ["identity_providers.id"],
            name=op.f("fk_federation_protocols_idp_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("idp_id", "id", name=op.f("pk_federation_protocols")),
    )
    op.create_table(
        "identity_provider_remote_ids",
        sa.Column("remote_id", sa.String(length=255), nullable=False),
        sa.Column("idp_id", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["idp_id"],
            ["identity_providers.id"],
            name=op.f("fk_identity_provider_remote_ids_idp_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("remote_id", name=op.f("pk_identity_provider_remote_ids")),
    )
    with op.batch_alter_table("identity_provider_remote_ids", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_identity_provider_remote_ids_idp_id"), ["idp_id"], unique=False)

    with op.batch_alter_table("users", schema=None) as batch_op:
        batch_op.add_column(sa.Column("origin", sa.String(length=36), server_default="", nullable=False))
        batch_op.create_unique_constraint(
            batch_op.f("uq_users_domain_id_name_origin"), ["domain_id", "name", "origin"]
        )
        # After the other is there: MariaDB needs one for the foreign key of the domain.
        batch_op.drop_constraint(batch_op.f("uq_users_domain_id_name"), type_="unique")
