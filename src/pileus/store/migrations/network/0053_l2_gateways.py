"""L2 gateways."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.store import schema


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "l2_gateways",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("devices", schema.JsonText(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_l2_gateways")),
    )
    with op.batch_alter_table("l2_gateways", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_l2_gateways_project_id"), ["project_id"], unique=False)

    op.create_table(
        "physical_switches",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("ports", schema.JsonText(), nullable=False),
        sa.Column("tunnel_ip", sa.String(length=64), nullable=True),
        sa.Column("tunnel_types", schema.JsonText(), nullable=False),
        sa.Column("failure", sa.String(length=1024), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_physical_switches")),
    )
    with op.batch_alter_table("physical_switches", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_physical_switches_host"), ["host"], unique=False)

    op.create_table(
        "l2_gateway_ports",
        sa.Column("l2_gateway_id", sa.String(length=36), nullable=False),
        sa.Column("device_name", sa.String(length=64), nullable=False),
        sa.Column("interface_name", sa.String(length=64), nullable=False),
        sa.Column("vlan", sa.Integer(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["l2_gateway_id"],
            ["l2_gateways.id"],
            name=op.f("fk_l2_gateway_ports_l2_gateway_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "l2_gateway_id", "device_name", "interface_name", "vlan", name=op.f("pk_l2_gateway_ports")
        ),
    )
    with op.batch_alter_table("l2_gateway_ports", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_l2_gateway_ports_device_name"), ["device_name"], unique=False)

    op.create_table(
        "l2_gateway_connections",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("l2_gateway_id", sa.String(length=36), nullable=False),
        sa.Column("network_id", sa.String(length=36), nullable=False),
        sa.Column("segmentation_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["l2_gateway_id"], ["l2_gateways.id"], name=op.f("fk_l2_gateway_connections_l2_gateway_id")
        ),
        sa.ForeignKeyConstraint(
            ["network_id"],
            ["networks.id"],
            name=op.f("fk_l2_gateway_connections_network_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_l2_gateway_connections")),
        sa.UniqueConstraint("l2_gateway_id", "network_id", name="uq_l2_gateway_connections_network"),
    )
    with op.batch_alter_table("l2_gateway_connections", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_l2_gateway_connections_network_id"), ["network_id"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_l2_gateway_connections_project_id"), ["project_id"], unique=False
        )

    op.create_table(
        "physical_addresses",
        sa.Column("switch_name", sa.String(length=64), nullable=False),
        sa.Column("network_id", sa.String(length=36), nullable=False),
        sa.Column("mac_address", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["network_id"], ["networks.id"], name=op.f("fk_physical_addresses_network_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["switch_name"],
            ["physical_switches.name"],
            name=op.f("fk_physical_addresses_switch_name"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "switch_name", "network_id", "mac_address", name=op.f("pk_physical_addresses")
        ),
    )
    with op.batch_alter_table("physical_addresses", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_physical_addresses_network_id"), ["network_id"], unique=False)
