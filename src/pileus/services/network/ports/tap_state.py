"""Copies of packets from and to the ports of a host, as its switch agent is told; and its reports of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from sqlalchemy import BindParameter, Row, bindparam, literal, null, or_, select, union_all, update

from pileus.services.network.ports.tables import ports
from pileus.services.network.taps.tables import tap_flows, tap_mirrors, tap_services
from pileus.store.schema import raw_json
from pileus.store.tx import Tx
from pileus.wire.switch import DeviceStatus
from pileus.wire.taps import PortTaps, Tap, TapMirror, TapService

_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_SOURCES, _TARGETS = ports.alias("sources"), ports.alias("targets")
_FLOW, _SERVICE, _MIRROR = range(3)
# One statement for everything: it is run for each question that is about ports.
_TAPS = union_all(
    select(
        literal(_FLOW).label("kind"),
        tap_flows.c.id,
        tap_flows.c.source_port,
        tap_services.c.port_id,
        tap_services.c.number,
        tap_flows.c.direction,
        tap_flows.c.vlan_filter.label("detail"),
        tap_flows.c.status,
        _SOURCES.c.host.label("source_host"),
        _TARGETS.c.host.label("target_host"),
        tap_services.c.id.label("service_id"),
    )
    .select_from(
        tap_flows.join(tap_services, tap_services.c.id == tap_flows.c.tap_service_id)
        .join(_SOURCES, _SOURCES.c.id == tap_flows.c.source_port)
        .join(_TARGETS, _TARGETS.c.id == tap_services.c.port_id)
    )
    .where(or_(tap_flows.c.source_port.in_(_IDS), tap_services.c.port_id.in_(_IDS))),
    select(
        literal(_SERVICE),
        tap_services.c.id,
        null(),
        tap_services.c.port_id,
        tap_services.c.number,
        null(),
        null(),
        tap_services.c.status,
        null(),
        null(),
        tap_services.c.id,
    ).where(tap_services.c.port_id.in_(_IDS)),
    select(
        literal(_MIRROR),
        tap_mirrors.c.id,
        tap_mirrors.c.port_id,
        null(),
        null(),
        tap_mirrors.c.mirror_type,
        raw_json(tap_mirrors.c.directions),
        null(),
        tap_mirrors.c.remote_ip,
        null(),
        null(),
    ).where(tap_mirrors.c.port_id.in_(_IDS)),
)
_MINE = {
    tap_flows: select(tap_flows.c.id, tap_flows.c.status)
    .select_from(tap_flows.join(ports, ports.c.id == tap_flows.c.source_port))
    .where(tap_flows.c.id.in_(_IDS), ports.c.host == bindparam("on_host")),
    tap_services: select(tap_services.c.id, tap_services.c.status)
    .select_from(tap_services.join(ports, ports.c.id == tap_services.c.port_id))
    .where(tap_services.c.id.in_(_IDS), ports.c.host == bindparam("on_host")),
}
"""The host once more: a node speaks of the ports that are bound to it."""


def port_taps(tx: Tx, port_ids: Collection[str]) -> dict[str, PortTaps]:
    """All taps of ports, by port; one statement."""
    if not port_ids:
        return {}
    wanted = set(port_ids)
    taps: dict[str, list[Tap]] = {}
    services: dict[str, list[TapService]] = {}
    mirrors: dict[str, list[TapMirror]] = {}
    hosts: dict[str, set[str]] = {}
    rows = tx.rows(_TAPS, {"ids": sorted(wanted)})
    for row in rows:
        if row.kind == _FLOW:
            hosts.setdefault(row.service_id, set()).update({row.source_host} - {"", row.target_host})
            if row.source_port in wanted:
                taps.setdefault(row.source_port, []).append(_tap(row))
        elif row.kind == _MIRROR:
            mirrors.setdefault(row.source_port, []).append(_mirror(row))
    for row in rows:
        if row.kind == _SERVICE:
            found = TapService(
                tap_id=row.id,
                number=row.number,
                hosts=tuple(sorted(hosts.get(row.id, ()))),
                status=row.status,
            )
            services.setdefault(row.port_id, []).append(found)
    return {
        port_id: PortTaps(
            taps=tuple(sorted(taps.get(port_id, ()), key=lambda one: one.tap_id)),
            services=tuple(sorted(services.get(port_id, ()), key=lambda one: one.tap_id)),
            mirrors=tuple(sorted(mirrors.get(port_id, ()), key=lambda one: one.mirror_id)),
        )
        for port_id in taps.keys() | services.keys() | mirrors.keys()
    }


def _tap(row: Row[Any]) -> Tap:
    return Tap(
        tap_id=row.id,
        number=row.number,
        direction=row.direction,
        target_port=row.port_id,
        target_host=row.target_host or None,
        vlan_filter=row.detail or "",
        status=row.status,
    )


def _mirror(row: Row[Any]) -> TapMirror:
    keys: Mapping[str, int] = msgspec.json.decode(row.detail)
    return TapMirror(
        mirror_id=row.id,
        mirror_type=row.direction,
        remote_ip=row.source_host,
        in_key=keys.get("IN"),
        out_key=keys.get("OUT"),
        both_key=keys.get("BOTH"),
    )


def taps_reported(tx: Tx, status: DeviceStatus) -> None:
    """Write whether taps of this host's ports are in force; nothing where it is known already."""
    if not status.taps:
        return
    for table, statement in _MINE.items():
        rows = tx.rows(statement, {"ids": sorted(status.taps), "on_host": status.host})
        for new in ("ACTIVE", "DOWN"):
            ids = [row.id for row in rows if status.taps[row.id] == new != row.status]
            if ids:
                tx.execute(update(table).where(table.c.id.in_(ids)).values(status=new))
