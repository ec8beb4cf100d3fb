"""Which ports are DHCP's own, in a table that only the cloud writes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    """Go one revision up. A port that a user named DHCP's has no host, since users can't bind ports."""
    table = op.create_table(
        "dhcp_ports",
        sa.Column("port_id", sa.String(length=36), nullable=False),
        sa.Column("network_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["port_id"], ["ports.id"], name=op.f("fk_dhcp_ports_port_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("port_id", name=op.f("pk_dhcp_ports")),
    )
    with op.batch_alter_table("dhcp_ports", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_dhcp_ports_network_id"), ["network_id"], unique=False)
    ports = sa.table(
        "ports", *(sa.column(name, sa.String()) for name in ("id", "network_id", "device_owner", "host"))
    )
    own = sa.select(ports.c.id, ports.c.network_id).where(
        ports.c.device_owner == "network:dhcp", ports.c.host != ""
    )
    op.execute(table.insert().from_select(["port_id", "network_id"], own))
