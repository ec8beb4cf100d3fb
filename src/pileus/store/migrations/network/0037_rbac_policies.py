"""RBAC policies, and those of what is shared with everybody or leads outside already."""

from __future__ import annotations

import uuid

import sqlalchemy as sa
from alembic import op

_SHARED = {
    "network": "networks",
    "qos_policy": "qos_policies",
    "security_group": "security_groups",
    "subnetpool": "subnetpools",
    "address_scope": "address_scopes",
}


def upgrade() -> None:
    """Go one revision up."""
    table = op.create_table(
        "rbac_policies",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("object_type", sa.String(length=32), nullable=False),
        sa.Column("object_id", sa.String(length=36), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("target_project", sa.String(length=36), nullable=False),
        sa.Column("network_id", sa.String(length=36), nullable=True),
        sa.Column("qos_policy_id", sa.String(length=36), nullable=True),
        sa.Column("security_group_id", sa.String(length=36), nullable=True),
        sa.Column("subnetpool_id", sa.String(length=36), nullable=True),
        sa.Column("address_scope_id", sa.String(length=36), nullable=True),
        sa.Column("address_group_id", sa.String(length=36), nullable=True),
        sa.ForeignKeyConstraint(
            ["address_group_id"],
            ["address_groups.id"],
            name=op.f("fk_rbac_policies_address_group_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["address_scope_id"],
            ["address_scopes.id"],
            name=op.f("fk_rbac_policies_address_scope_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["network_id"], ["networks.id"], name=op.f("fk_rbac_policies_network_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["qos_policy_id"],
            ["qos_policies.id"],
            name=op.f("fk_rbac_policies_qos_policy_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["security_group_id"],
            ["security_groups.id"],
            name=op.f("fk_rbac_policies_security_group_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["subnetpool_id"],
            ["subnetpools.id"],
            name=op.f("fk_rbac_policies_subnetpool_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rbac_policies")),
        sa.UniqueConstraint(
            "object_id",
            "action",
            "target_project",
            name=op.f("uq_rbac_policies_object_id_action_target_project"),
        ),
    )
    with op.batch_alter_table("rbac_policies", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_rbac_policies_address_group_id"), ["address_group_id"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_rbac_policies_address_scope_id"), ["address_scope_id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_rbac_policies_network_id"), ["network_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_rbac_policies_project_id"), ["project_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_rbac_policies_qos_policy_id"), ["qos_policy_id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_rbac_policies_security_group_id"), ["security_group_id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_rbac_policies_subnetpool_id"), ["subnetpool_id"], unique=False)
        batch_op.create_index(
            "ix_rbac_policies_target_project_action", ["target_project", "action"], unique=False
        )
    for object_type, of in _SHARED.items():
        _grant(table, object_type, of, "shared", "access_as_shared")
    _grant(table, "network", "networks", "external", "access_as_external")


def _grant(table: sa.Table, object_type: str, of: str, flag: str, action: str) -> None:
    """Write a policy for everybody for each object that has the flag."""
    objects = sa.table(
        of, sa.column("id", sa.String()), sa.column("project_id", sa.String()), sa.column(flag, sa.Boolean())
    )
    found = op.get_bind().execute(sa.select(objects.c.id, objects.c.project_id).where(objects.c[flag]))
    rows = [
        {
            "id": str(uuid.uuid4()),
            "project_id": row.project_id,
            "object_type": object_type,
            "object_id": row.id,
            "action": action,
            "target_project": "*",
            f"{object_type}_id": row.id,
        }
        for row in found
    ]
    if rows:
        op.bulk_insert(table, rows)
