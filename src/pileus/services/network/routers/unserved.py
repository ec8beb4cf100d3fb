"""Floating IPs of routers that no agent serves: they are DOWN until one does."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, exists, select, update

from pileus.core.context import Context
from pileus.resource.event import event
from pileus.services.network.common.revisions import next_revision
from pileus.services.network.floating_ips.tables import floating_ip_hosts, floating_ips
from pileus.services.network.routers.tables import routers
from pileus.store.tx import Tx

ACTIVE, DOWN = "ACTIVE", "DOWN"
# Neither those that hosts translate, nor those of routers that are machines.
_FALLING = (
    select(floating_ips.c.id, floating_ips.c.project_id)
    .select_from(floating_ips.join(routers, routers.c.id == floating_ips.c.router_id))
    .where(
        floating_ips.c.router_id.in_(bindparam("ids", expanding=True)),
        floating_ips.c.status == ACTIVE,
        ~routers.c.gateway_vm,
        ~exists(select(floating_ip_hosts.c.floating_ip_id).where(
            floating_ip_hosts.c.floating_ip_id == floating_ips.c.id
        )),
    )
    .order_by(floating_ips.c.id)
)  # fmt: skip


def floating_ips_fall(tx: Tx, context: Context, router_ids: Sequence[str]) -> None:
    """Write that the floating IPs of routers, which no agent serves any more, are DOWN."""
    rows = tx.rows(_FALLING, {"ids": list(router_ids)})
    if not rows:
        return
    changes = {"status": DOWN, **next_revision(floating_ips, context.now)}
    statement = update(floating_ips).where(floating_ips.c.id.in_([row.id for row in rows]))
    tx.execute(statement.values(changes))
    tx.emit_many([event(context, "floatingip.down", row.id, row.project_id) for row in rows])
