"""QoS rules of all kinds in one table, bandwidth limits among them, and policies of router gateways."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    """Go one revision up. Bandwidth limits become rules like others, with their ids."""
    op.create_table(
        "qos_router_policies",
        sa.Column("router_id", sa.String(length=36), nullable=False),
        sa.Column("qos_policy_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["qos_policy_id"], ["qos_policies.id"], name=op.f("fk_qos_router_policies_qos_policy_id")
        ),
        sa.ForeignKeyConstraint(
            ["router_id"], ["routers.id"], name=op.f("fk_qos_router_policies_router_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("router_id", name=op.f("pk_qos_router_policies")),
    )
    with op.batch_alter_table("qos_router_policies", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_qos_router_policies_qos_policy_id"), ["qos_policy_id"], unique=False
        )

    table = op.create_table(
        "qos_rules",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("qos_policy_id", sa.String(length=36), nullable=False),
        sa.Column("rule_type", sa.String(length=32), nullable=False),
        sa.Column("direction", sa.String(length=8), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.Column("burst", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["qos_policy_id"],
            ["qos_policies.id"],
            name=op.f("fk_qos_rules_qos_policy_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_qos_rules")),
        sa.UniqueConstraint(
            "qos_policy_id",
            "rule_type",
            "direction",
            name=op.f("uq_qos_rules_qos_policy_id_rule_type_direction"),
        ),
    )
    limits = sa.table(
        "qos_bandwidth_limits",
        *(sa.column(name, sa.String()) for name in ("id", "qos_policy_id", "direction")),
        *(sa.column(name, sa.Integer()) for name in ("max_kbps", "max_burst_kbps")),
    )
    same = sa.select(
        limits.c.id,
        limits.c.qos_policy_id,
        sa.literal("bandwidth_limit"),
        limits.c.direction,
        limits.c.max_kbps,
        limits.c.max_burst_kbps,
    )
    op.execute(
        table.insert().from_select(["id", "qos_policy_id", "rule_type", "direction", "amount", "burst"], same)
    )
    op.drop_table("qos_bandwidth_limits")
