"""Ending the floating IPs, port forwardings and NDP proxies of ports that go, and of addresses that go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, bindparam, delete, literal, null, select, union_all

from pileus.core.context import Context
from pileus.resource.declaration import Values
from pileus.resource.event import event
from pileus.resource.rows import fetch
from pileus.services.network.config import NetworkConfig
from pileus.services.network.floating_ips.followers import floating_ips_free
from pileus.services.network.floating_ips.tables import floating_ips
from pileus.services.network.ndp_proxies.tables import ndp_proxies
from pileus.services.network.port_forwardings.resource import PORT_FORWARDING
from pileus.services.network.port_forwardings.tables import port_forwardings
from pileus.services.network.port_forwardings.work import port_forwarding_delete
from pileus.store.column_in import column_in
from pileus.store.tx import Tx
from pileus.wire import scopes

_FLOATING, _FORWARDING, _NDP = range(3)
# All in one statement: it is run for each port that is deleted.
_TO_PORTS = union_all(
    select(
        literal(_FLOATING).label("kind"),
        floating_ips.c.id,
        floating_ips.c.project_id,
        floating_ips.c.router_id,
        floating_ips.c.fixed_port_id.label("port_id"),
        floating_ips.c.fixed_ip_address.label("ip_address"),
    ).where(floating_ips.c.fixed_port_id.in_(bindparam("ids", expanding=True))),
    select(
        literal(_FORWARDING),
        port_forwardings.c.id,
        null(),
        null(),
        port_forwardings.c.internal_port_id,
        port_forwardings.c.internal_ip_address,
    ).where(port_forwardings.c.internal_port_id.in_(bindparam("ids", expanding=True))),
    select(
        literal(_NDP),
        ndp_proxies.c.id,
        ndp_proxies.c.project_id,
        ndp_proxies.c.router_id,
        ndp_proxies.c.port_id,
        ndp_proxies.c.ip_address,
    ).where(ndp_proxies.c.port_id.in_(bindparam("ids", expanding=True))),
).order_by("kind", "id")


def translations_release(tx: Tx, context: Context, going: Sequence[Values], config: NetworkConfig) -> None:
    """End those of ports that go; one statement where there is none."""
    _end(tx, context, tx.rows(_TO_PORTS, {"ids": [port["id"] for port in going]}), config)


def translations_follow(
    tx: Tx, context: Context, changed: Sequence[tuple[Values, Values]], config: NetworkConfig
) -> None:
    """End those whose address is no longer among its port's; no statement where none has moved."""
    moved = {
        port["id"]: {ip["ip_address"] for ip in port["fixed_ips"]}
        for before, port in changed
        if port["fixed_ips"] != before["fixed_ips"]
    }
    if moved:
        rows = tx.rows(_TO_PORTS, {"ids": list(moved)})
        _end(tx, context, [row for row in rows if row.ip_address not in moved[row.port_id]], config)


def _end(tx: Tx, context: Context, rows: Sequence[Row[Any]], config: NetworkConfig) -> None:
    floating_ips_free(tx, context, [row for row in rows if row.kind == _FLOATING], config)
    forwardings = [row.id for row in rows if row.kind == _FORWARDING]
    if forwardings:
        port_forwarding_delete(tx, context, fetch(tx, PORT_FORWARDING, forwardings, lock=True))
    proxies = [row for row in rows if row.kind == _NDP]
    if proxies:
        tx.execute(delete(ndp_proxies).where(column_in(tx, ndp_proxies.c.id, [row.id for row in proxies])))
        tx.emit_many(
            [
                event(context, "ndp_proxy.delete", row.id, row.project_id, [scopes.router(row.router_id)])
                for row in proxies
            ]
        )
