"""Freeing floating IPs whose port or fixed address goes away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, bindparam, select, update

from pileus.core.context import Context
from pileus.resource.declaration import Values
from pileus.resource.event import event
from pileus.services.network.common.revisions import next_revision
from pileus.services.network.config import NetworkConfig
from pileus.services.network.floating_ips.tables import floating_ips
from pileus.store.tx import Tx
from pileus.wire import scopes

_OF_PORTS = (
    select(
        floating_ips.c.id,
        floating_ips.c.project_id,
        floating_ips.c.router_id,
        floating_ips.c.fixed_port_id,
        floating_ips.c.fixed_ip_address,
    )
    .where(floating_ips.c.fixed_port_id.in_(bindparam("ids", expanding=True)))
    .order_by(floating_ips.c.id)
)
_FREE = (
    update(floating_ips)
    .where(floating_ips.c.id.in_(bindparam("ids", expanding=True)))
    .values(
        fixed_port_id=None,
        fixed_ip_address=None,
        router_id=None,
        status="DOWN",
        **next_revision(floating_ips, bindparam("now")),
    )
)


def floating_ips_release(tx: Tx, context: Context, going: Sequence[Values], config: NetworkConfig) -> None:
    """Free the floating IPs of ports that go; one statement where there is none."""
    _free(tx, context, tx.rows(_OF_PORTS, {"ids": [port["id"] for port in going]}))


def floating_ips_follow(
    tx: Tx, context: Context, changed: Sequence[tuple[Values, Values]], config: NetworkConfig
) -> None:
    """Free those whose fixed address is no longer among its port's; no statement where none has moved."""
    moved = {
        port["id"]: {ip["ip_address"] for ip in port["fixed_ips"]}
        for before, port in changed
        if port["fixed_ips"] != before["fixed_ips"]
    }
    if moved:
        rows = tx.rows(_OF_PORTS, {"ids": list(moved)})
        _free(tx, context, [row for row in rows if row.fixed_ip_address not in moved[row.fixed_port_id]])


def _free(tx: Tx, context: Context, rows: Sequence[Row[Any]]) -> None:
    if not rows:
        return
    tx.execute(_FREE, {"ids": [row.id for row in rows], "now": context.now})
    tx.emit_many(
        [
            event(
                context,
                "floatingip.update",
                row.id,
                row.project_id,
                [scopes.router(row.router_id)] if row.router_id else (),
                changed=["port_id"],
            )
            for row in rows
        ]
    )
