"""Freeing floating IPs that lead nowhere any more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, bindparam, update

from pileus.core.context import Context
from pileus.resource.event import event
from pileus.services.network.common.revisions import next_revision
from pileus.services.network.config import NetworkConfig
from pileus.services.network.floating_ips.tables import floating_ips
from pileus.store.tx import Tx
from pileus.wire import scopes

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


def floating_ips_free(tx: Tx, context: Context, rows: Sequence[Row[Any]], config: NetworkConfig) -> None:
    """Free floating IPs; rows of ``id``, ``project_id``, ``router_id`` and ``port_id``."""
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
    leading: dict[str, set[str]] = {}
    for row in rows:
        if row.router_id:
            leading.setdefault(row.router_id, set()).add(row.port_id)
    for follow in config.followers.floating_ips_changed if leading else ():
        follow(tx, context, leading, config)
