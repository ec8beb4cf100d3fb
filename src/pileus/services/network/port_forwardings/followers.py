"""Ending what leads to ports and addresses that go: floating IPs, forwardings, NDP proxies, local IPs."""

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
from pileus.services.network.local_ips.tables import local_ip_associations, local_ips
from pileus.services.network.ndp_proxies.tables import ndp_proxies
from pileus.services.network.port_forwardings.resource import PORT_FORWARDING
from pileus.services.network.port_forwardings.tables import port_forwardings
from pileus.services.network.port_forwardings.work import port_forwarding_delete
from pileus.store.column_in import column_in
from pileus.store.tx import Tx
from pileus.wire import scopes

_FLOATING, _FORWARDING, _NDP, _LOCAL = range(4)
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
    select(
        literal(_LOCAL),
        local_ips.c.id,
        local_ips.c.project_id,
        null(),
        local_ips.c.local_port_id,
        local_ips.c.local_ip_address,
    ).where(local_ips.c.local_port_id.in_(bindparam("ids", expanding=True))),
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
        gone = [row for row in rows if row.kind != _LOCAL and row.ip_address not in moved[row.port_id]]
        _end(tx, context, gone, config)


def _end_local_ips(tx: Tx, context: Context, rows: Sequence[Row[Any]]) -> None:
    """A local IP ends with the port whose address it has; nobody is led to others by it any more."""
    ids = [row.id for row in rows]
    table = local_ip_associations
    led = tx.rows(
        select(table.c.local_ip_id, table.c.fixed_port_id).where(column_in(tx, table.c.local_ip_id, ids))
    )
    if led:
        tx.execute(delete(table).where(column_in(tx, table.c.local_ip_id, ids)))
    tx.execute(delete(local_ips).where(column_in(tx, local_ips.c.id, ids)))
    concerned: dict[str, list[str]] = {}
    for row in led:
        concerned.setdefault(row.local_ip_id, []).append(scopes.port(row.fixed_port_id))
    tx.emit_many(
        [event(context, "local_ip.delete", row.id, row.project_id, concerned.get(row.id, [])) for row in rows]
    )


def _end(tx: Tx, context: Context, rows: Sequence[Row[Any]], config: NetworkConfig) -> None:
    floating_ips_free(tx, context, [row for row in rows if row.kind == _FLOATING], config)
    forwardings = [row.id for row in rows if row.kind == _FORWARDING]
    if forwardings:
        port_forwarding_delete(tx, context, fetch(tx, PORT_FORWARDING, forwardings, lock=True))
    local = [row for row in rows if row.kind == _LOCAL]
    if local:
        _end_local_ips(tx, context, local)
    proxies = [row for row in rows if row.kind == _NDP]
    if proxies:
        tx.execute(delete(ndp_proxies).where(column_in(tx, ndp_proxies.c.id, [row.id for row in proxies])))
        tx.emit_many(
            [
                event(context, "ndp_proxy.delete", row.id, row.project_id, [scopes.router(row.router_id)])
                for row in proxies
            ]
        )
