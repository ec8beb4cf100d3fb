"""Trunks follow their parent ports: where those go, what they report, when they are deleted."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import select

from pileus.core.context import Context
from pileus.resource.declaration import Update, Values
from pileus.resource.rows import fetch
from pileus.services.network.config import NetworkConfig
from pileus.services.network.ports.resource import PORT
from pileus.services.network.ports.work import port_update
from pileus.services.network.trunks.resource import TRUNK
from pileus.services.network.trunks.tables import subports, trunks
from pileus.services.network.trunks.work import recalculated, released
from pileus.store.column_in import column_in
from pileus.store.tx import Tx

_PLACE = ("binding:host_id", "binding:vif_type")


def trunks_follow_ports(
    tx: Tx, context: Context, changed: Sequence[tuple[Values, Values]], config: NetworkConfig
) -> None:
    """Bind the subports of a parent that has moved to where it is now."""
    moved = {
        after["id"]: after["binding:host_id"]
        for before, after in changed
        if any(before.get(name) != after.get(name) for name in _PLACE)
    }
    if not moved:
        return
    rows = tx.rows(
        select(trunks.c.id, trunks.c.port_id, subports.c.port_id.label("child_id"))
        .select_from(trunks.outerjoin(subports, subports.c.trunk_id == trunks.c.id))
        .where(column_in(tx, trunks.c.port_id, sorted(moved)))
    )
    if not rows:
        return
    hosts = {row.child_id: moved[row.port_id] for row in rows if row.child_id is not None}
    updates = [
        Update(port, Values({"binding:host_id": hosts[port["id"]]}))
        for port in fetch(tx, PORT, sorted(hosts), lock=True)
        if port["binding:host_id"] != hosts[port["id"]]
    ]
    if updates:
        port_update(tx, context, updates, config=config)
    recalculated(tx, context, fetch(tx, TRUNK, sorted({row.id for row in rows})))


def trunks_follow_reports(
    tx: Tx, context: Context, trunk_ids: Collection[str], failed: Collection[str], config: NetworkConfig
) -> None:
    """Trunks whose ports a switch agent has reported on are in the state that follows from these."""
    recalculated(tx, context, fetch(tx, TRUNK, sorted(trunk_ids)), frozenset(failed))


def trunks_leave_ports(tx: Tx, context: Context, going: Sequence[Values], config: NetworkConfig) -> None:
    """A trunk goes with its parent, when the cloud itself deletes that (a server's own port); a request
    that would is refused before. A subport that goes leaves its trunk."""
    ids = sorted(port["id"] for port in going)
    rows = tx.rows(select(trunks.c.id).where(column_in(tx, trunks.c.port_id, ids)))
    of_these = sorted(row.id for row in rows)
    if of_these:
        children = tx.rows(select(subports.c.port_id).where(column_in(tx, subports.c.trunk_id, of_these)))
        TRUNK.remove(tx, fetch(tx, TRUNK, of_these, lock=True))
        released(tx, context, [row.port_id for row in children if row.port_id not in ids], config)
    tx.execute(subports.delete().where(column_in(tx, subports.c.port_id, ids)))
