"""Reports of switch agents on ports: carrying packets, not any more, or not to be wired."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, bindparam, func, select, update

from pileus.core.context import Context
from pileus.resource.event import event
from pileus.services.network.common.revisions import next_revision
from pileus.services.network.config import NetworkConfig
from pileus.services.network.ports.tables import ports
from pileus.services.network.ports.tap_state import taps_reported
from pileus.services.network.trunks.tables import subports, trunks
from pileus.store.event import Event
from pileus.store.events import newest_position
from pileus.store.tx import Tx
from pileus.wire.switch import Acknowledged, DeviceStatus

_REPORTED = (
    select(
        ports.c.id,
        ports.c.project_id,
        ports.c.network_id,
        ports.c.device_id,
        ports.c.status,
        ports.c.admin_state_up,
        ports.c.rate_limited_by,
        func.coalesce(trunks.c.id, subports.c.trunk_id).label("trunk_id"),
    )
    .select_from(
        ports.outerjoin(trunks, trunks.c.port_id == ports.c.id).outerjoin(
            subports, subports.c.port_id == ports.c.id
        )
    )
    .where(ports.c.id.in_(bindparam("ids", expanding=True)), ports.c.host == bindparam("on_host"))
)
_SET = (
    update(ports)
    .where(
        ports.c.id.in_(bindparam("ids", expanding=True)),
        # The host once more: a port that moved since the look belongs to another node's word.
        ports.c.host == bindparam("on_host"),
    )
    .values(status=bindparam("new_status"), **next_revision(ports, bindparam("now")))
)
_SET_MEANS = update(ports).where(ports.c.id == bindparam("key")).values(rate_limited_by=bindparam("means"))


def device_status(tx: Tx, context: Context, status: DeviceStatus, *, config: NetworkConfig) -> Acknowledged:
    """Write the status of many ports; those that are not bound to the reporting host are left as they are.

    At most five statements for any number of ports, and as many for taps; none written where nothing changes.
    Nobody else's switch depends on a port's status, so the events carry no scopes.
    """
    taps_reported(tx, status)
    failed = {one.port_id: one.reason for one in status.failed}
    ids = sorted({*status.up, *status.down, *failed, *status.dhcp})
    for follow in config.followers.floating_ips_reported if status.floating_ips else ():
        follow(tx, context, status.host, status.floating_ips, config)
    if not ids:
        return Acknowledged(position=newest_position(tx))
    mine = {row.id: row for row in tx.rows(_REPORTED, {"ids": ids, "on_host": status.host})}
    risen = [mine[one] for one in status.up if one in mine and mine[one].status != "ACTIVE"]
    fallen = [mine[one] for one in (*status.down, *failed) if one in mine and mine[one].status != "DOWN"]
    for rows, new in ((risen, "ACTIVE"), (fallen, "DOWN")):
        if rows:
            where = {"ids": [row.id for row in rows], "on_host": status.host}
            tx.execute(_SET, {**where, "new_status": new, "now": context.now})
    means = {
        port_id: status.enforcement.get(port_id)
        for port_id in status.up
        if port_id in mine and mine[port_id].rate_limited_by != status.enforcement.get(port_id)
    }
    if means:
        tx.execute(_SET_MEANS, [{"key": port_id, "means": used} for port_id, used in sorted(means.items())])
    tx.emit_many(
        [
            *_events(context, "port.active", risen, status),
            *_events(context, "port.down", [row for row in fallen if row.id not in failed], status),
            *(
                _event(context, "port.failed", mine[port_id], status.host, reason=reason)
                for port_id, reason in failed.items()
                if port_id in mine
            ),
            *(
                _event(context, "port.dhcp_incomplete", mine[port_id], status.host, reason=reason)
                for port_id, reason in status.dhcp.items()
                if port_id in mine
            ),
        ]
    )
    if trunk_ids := {row.trunk_id for row in mine.values() if row.trunk_id is not None}:
        for follow in config.followers.ports_reported:
            follow(tx, context, trunk_ids, failed, config)
    return Acknowledged(position=newest_position(tx))


def _events(context: Context, kind: str, rows: Sequence[Row[Any]], status: DeviceStatus) -> list[Event]:
    return [
        _event(context, kind, row, status.host, rate_limited_by=status.enforcement.get(row.id))
        for row in rows
    ]


def _event(context: Context, kind: str, row: Row[Any], host: str, **payload: Any) -> Event:
    return event(
        context,
        kind,
        row.id,
        row.project_id,
        host=host,
        network_id=row.network_id,
        device_id=row.device_id,
        **payload,
    )
