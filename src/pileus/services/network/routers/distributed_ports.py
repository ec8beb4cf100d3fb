"""The status of the ports by which distributed routers are on networks: plugged nowhere, they are as their
routers are."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import BindParameter, Update, bindparam, select, update

from pileus.resource import declaration
from pileus.services.network.common.revisions import next_revision
from pileus.services.network.ports.tables import ports
from pileus.services.network.routers.tables import router_ports
from pileus.services.network.rules import device_owners
from pileus.store.tx import Tx

ACTIVE, DOWN = "ACTIVE", "DOWN"
_NOW: BindParameter[datetime] = bindparam("now")


def _become(status: str) -> Update:
    theirs = select(router_ports.c.port_id).where(
        router_ports.c.router_id.in_(bindparam("ids", expanding=True)),
        router_ports.c.port_type == device_owners.DISTRIBUTED_INTERFACE,
    )
    changed = update(ports).where(ports.c.status != status, ports.c.id.in_(theirs))
    return changed.values(status=status, **next_revision(ports, _NOW))


_RISE, _FALL = _become(ACTIVE), _become(DOWN)


def distributed_ports_rise(tx: Tx, router_ids: Collection[str], now: datetime) -> None:
    """Write that the ports of routers that are in place are ACTIVE; one statement, or none."""
    if router_ids:
        tx.execute(_RISE, {"ids": sorted(router_ids), "now": now})


def distributed_ports_follow(tx: Tx, updates: Sequence[declaration.Update], now: datetime) -> None:
    """Write the ports of routers that become administratively down, or up; a statement each, or none."""
    turned = [
        one.original
        for one in updates
        if one.original["distributed"]
        and one.changes.get("admin_state_up", one.original["admin_state_up"])
        != one.original["admin_state_up"]
    ]
    fallen = sorted(router["id"] for router in turned if router["admin_state_up"])
    if fallen:
        tx.execute(_FALL, {"ids": fallen, "now": now})
    risen = [one["id"] for one in turned if not one["admin_state_up"] and one["status"] == ACTIVE]
    distributed_ports_rise(tx, risen, now)
