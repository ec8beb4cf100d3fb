"""Taps follow their ports: where those move, and when they go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BindParameter, bindparam, literal, select, union_all, update

from pileus.core.context import Context
from pileus.resource.declaration import Values
from pileus.resource.event import event
from pileus.services.network.config import NetworkConfig
from pileus.services.network.taps.resource import DOWN
from pileus.services.network.taps.tables import tap_flows, tap_services
from pileus.store.column_in import column_in
from pileus.store.tx import Tx
from pileus.wire import scopes

_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_BETWEEN = (
    select(
        tap_flows.c.id,
        tap_flows.c.project_id,
        tap_flows.c.source_port,
        tap_services.c.port_id,
        literal(True).label("is_flow"),
    )
    .select_from(tap_flows.join(tap_services, tap_services.c.id == tap_flows.c.tap_service_id))
    .where(tap_flows.c.source_port.in_(_IDS) | tap_services.c.port_id.in_(_IDS))
)
_ALONE = select(
    tap_services.c.id,
    tap_services.c.project_id,
    tap_services.c.port_id.label("source_port"),
    tap_services.c.port_id,
    literal(False).label("is_flow"),
).where(tap_services.c.port_id.in_(_IDS))
_OF_PORTS = union_all(_BETWEEN, _ALONE)


def taps_follow_ports(
    tx: Tx, context: Context, changed: Sequence[tuple[Values, Values]], config: NetworkConfig
) -> None:
    """Where one end of a tap moves, its flow begins anew, and the other end's host looks again."""
    moved = sorted(
        after["id"] for before, after in changed if before["binding:host_id"] != after["binding:host_id"]
    )
    if not moved:
        return
    rows = tx.rows(_OF_PORTS, {"ids": moved})
    for table, is_flow in ((tap_flows, True), (tap_services, False)):
        ids = [row.id for row in rows if bool(row.is_flow) == is_flow]
        if ids:
            tx.execute(update(table).where(column_in(tx, table.c.id, ids)).values(status=DOWN))
    tx.emit_many(
        [
            event(
                context,
                "tap_flow.move",
                row.id,
                row.project_id,
                [scopes.port(row.source_port), scopes.port(row.port_id)],
            )
            for row in rows
            if row.is_flow
        ]
    )


def taps_leave_ports(tx: Tx, context: Context, going: Sequence[Values], config: NetworkConfig) -> None:
    """Taps go with their ports, by the keys of their tables; the other end's host looks again."""
    rows = tx.rows(_BETWEEN, {"ids": [port["id"] for port in going]})
    tx.emit_many(
        [
            event(
                context,
                "tap_flow.delete",
                row.id,
                row.project_id,
                [scopes.port(row.source_port), scopes.port(row.port_id)],
            )
            for row in rows
        ]
    )
