"""The local IPs that lead to ports on a host, as its switch agent is told."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Executable, Row, select

from pileus.services.network.local_ips.tables import local_ip_associations, local_ips
from pileus.store.column_in import listed
from pileus.store.tx import Tx
from pileus.wire.switch import LocalIP

_PASSTHROUGH = "passthrough"


def local_ips_of(tx: Tx, ports: Sequence[Row[Any]]) -> dict[str, tuple[LocalIP, ...]]:
    """Local IPs by port, of those whose address there the port still has; one statement."""
    if not ports:
        return {}
    held = {port.id: {ip["ip_address"] for ip in port.fixed_ips} for port in ports}
    found: dict[str, tuple[LocalIP, ...]] = {}
    for row in tx.rows(_leading_to(tx.dialect), {"ports": list(held)}):
        if row.fixed_ip in held[row.fixed_port_id]:
            one = LocalIP(row.id, row.local_ip_address, row.fixed_ip, row.ip_mode == _PASSTHROUGH)
            found[row.fixed_port_id] = (*found.get(row.fixed_port_id, ()), one)
    return found


@functools.cache
def _leading_to(dialect: str) -> Executable:
    table = local_ip_associations
    return (
        select(
            table.c.fixed_port_id,
            table.c.fixed_ip,
            local_ips.c.id,
            local_ips.c.local_ip_address,
            local_ips.c.ip_mode,
        )
        .select_from(table.join(local_ips, local_ips.c.id == table.c.local_ip_id))
        .where(listed(dialect, table.c.fixed_port_id, "ports"))
        .order_by(local_ips.c.id)
    )
