"""Names of ports."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from pileus.store import schema

_ports = sa.table(
    "ports",
    sa.column("id", sa.String()),
    sa.column("network_id", sa.String()),
    sa.column("dns_name", sa.String()),
    sa.column("fixed_ips", schema.JsonText()),
    sa.column("dns_assignment", schema.JsonText()),
)
_networks = sa.table("networks", sa.column("id", sa.String()), sa.column("dns_domain", sa.String()))


def upgrade() -> None:
    """Go one revision up. Each address has a name: that of its port, or one that is made of it."""
    with op.batch_alter_table("ports", schema=None) as batch_op:
        batch_op.add_column(sa.Column("dns_assignment", schema.JsonText(), nullable=True))
    connection = op.get_bind()
    found = connection.execute(
        sa.select(_ports.c.id, _ports.c.dns_name, _ports.c.fixed_ips, _networks.c.dns_domain).join(
            _networks, _networks.c.id == _ports.c.network_id
        )
    ).all()
    change = _ports.update().where(_ports.c.id == sa.bindparam("key"))
    if found:
        connection.execute(
            change.values(dns_assignment=sa.bindparam("names")),
            [{"key": row.id, "names": _names(row)} for row in found],
        )
    with op.batch_alter_table("ports", schema=None) as batch_op:
        batch_op.alter_column("dns_assignment", existing_type=schema.JsonText(), nullable=False)


def _names(row: Any) -> list[dict[str, str]]:
    names = []
    for ip in row.fixed_ips:
        address = ip["ip_address"]
        host = row.dns_name or "host-" + address.replace(".", "-").replace(":", "-")
        whole = host if host.endswith(".") else f"{host}.{row.dns_domain or 'openstacklocal.'}"
        names.append({"ip_address": address, "hostname": host, "fqdn": whole})
    return names
