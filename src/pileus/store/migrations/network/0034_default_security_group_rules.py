"""Default security group rules."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

# Id, direction, ethertype, whether it is about its own group, and the digest of all that.
_LEGACY = (
    (
        "5dff6495-db8c-5099-814e-dfd54ac56136",
        "egress",
        "IPv4",
        False,
        "da80bc8ca72791bf152a680656e16c1e8e287124",
    ),
    (
        "5b5bcbf1-b361-5f6c-ba88-181e20616f68",
        "egress",
        "IPv6",
        False,
        "811f4f95d9b33ed97f89223b09cf209e123e94bc",
    ),
    (
        "02cea1c2-6604-53ba-9776-772464107909",
        "ingress",
        "IPv4",
        True,
        "c36c63958168ce14f0c8141626a63789fb1704e5",
    ),
    (
        "139cbe6a-28ae-5561-8397-89e11b80f1bf",
        "ingress",
        "IPv6",
        True,
        "7889229f2b74c06f0b353f7c5aec8f998a710c46",
    ),
)


def upgrade() -> None:
    """Go one revision up. Groups begin as they always did: everything out, and in from a default group's own
    members."""
    table = op.create_table(
        "default_security_group_rules",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("direction", sa.String(length=8), nullable=False),
        sa.Column("ethertype", sa.String(length=8), nullable=False),
        sa.Column("protocol", sa.String(length=40), nullable=True),
        sa.Column("port_range_min", sa.Integer(), nullable=True),
        sa.Column("port_range_max", sa.Integer(), nullable=True),
        sa.Column("remote_ip_prefix", sa.String(length=64), nullable=True),
        sa.Column("remote_is_parent", sa.Boolean(), nullable=False),
        sa.Column("remote_to_group_id", sa.String(length=36), nullable=True),
        sa.Column("remote_address_group_id", sa.String(length=36), nullable=True),
        sa.Column("used_in_default_sg", sa.Boolean(), nullable=False),
        sa.Column("used_in_non_default_sg", sa.Boolean(), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("digest", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(
            ["remote_address_group_id"],
            ["address_groups.id"],
            name=op.f("fk_default_security_group_rules_remote_address_group_id"),
        ),
        sa.ForeignKeyConstraint(
            ["remote_to_group_id"],
            ["security_groups.id"],
            name=op.f("fk_default_security_group_rules_remote_to_group_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_default_security_group_rules")),
    )
    with op.batch_alter_table("default_security_group_rules", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_default_security_group_rules_digest"), ["digest"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_default_security_group_rules_remote_address_group_id"),
            ["remote_address_group_id"],
            unique=False,
        )
        batch_op.create_index(
            batch_op.f("ix_default_security_group_rules_remote_to_group_id"),
            ["remote_to_group_id"],
            unique=False,
        )
    op.bulk_insert(
        table,
        [
            {
                "id": rule_id,
                "direction": direction,
                "ethertype": ethertype,
                "remote_is_parent": to_parent,
                "used_in_default_sg": True,
                "used_in_non_default_sg": not to_parent,
                "description": f"Legacy default SG rule for {direction} traffic",
                "digest": digest,
            }
            for rule_id, direction, ethertype, to_parent, digest in _LEGACY
        ],
    )
