"""Names of ports that follow the domains of their networks."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, select, update

from pileus.resource.declaration import Update
from pileus.services.network.ports.tables import ports
from pileus.services.network.rules.names import assignment
from pileus.store.tx import Tx

_PORTS = (
    select(
        ports.c.id,
        ports.c.network_id,
        ports.c.project_id,
        ports.c.fixed_ips,
        ports.c.dns_name,
        ports.c.dns_domain,
        ports.c.dns_keywords,
    )
    .where(ports.c.network_id.in_(bindparam("ids", expanding=True)), ports.c.dns_domain == "")
    .order_by(ports.c.id)
    .with_for_update()
)
_RENAME = update(ports).where(ports.c.id == bindparam("key")).values(dns_assignment=bindparam("names"))


def names_follow_domains(tx: Tx, updates: Sequence[Update]) -> None:
    """Write the names of ports anew whose network has another domain now; two statements, or none."""
    domains = {
        one.original["id"]: one.changes["dns_domain"]
        for one in updates
        if one.changes.get("dns_domain", one.original["dns_domain"]) != one.original["dns_domain"]
    }
    rows = tx.rows(_PORTS, {"ids": sorted(domains)}) if domains else []
    if rows:
        tx.execute(
            _RENAME,
            [
                {"key": row.id, "names": assignment(dict(row._mapping), domains[row.network_id])}
                for row in rows
            ],
        )
