"""Quarantined ports: the mark that the switch obeys, on the ports of servers that are in quarantine."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

_ports = sa.table("ports", sa.column("id"), sa.column("quarantined", sa.Boolean()))
_interfaces = sa.table("server_interfaces", sa.column("port_id"), sa.column("server_id"))
_servers = sa.table("servers", sa.column("id"), sa.column("quarantined"))


def upgrade() -> None:
    """Go one revision up."""
    with op.batch_alter_table("ports") as batch_op:
        batch_op.add_column(sa.Column("quarantined", sa.Boolean(), nullable=False, server_default=sa.false()))
    cut = (
        sa.select(_interfaces.c.port_id)
        .join(_servers, _servers.c.id == _interfaces.c.server_id)
        .where(_servers.c.quarantined.is_not(None))
    )
    op.execute(_ports.update().where(_ports.c.id.in_(cut)).values(quarantined=sa.true()))
