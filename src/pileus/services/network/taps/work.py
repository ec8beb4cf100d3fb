"""Units of work of tap services, tap flows and tap mirrors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, select

from pileus.core.context import Context
from pileus.resource.declaration import Resource, Update, Values
from pileus.resource.event import event
from pileus.services.network.agents.tables import agents
from pileus.services.network.common.copies import copied
from pileus.services.network.common.errors import InvalidInput, PortNotFound
from pileus.services.network.common.quotas import network_quota, spend
from pileus.services.network.config import NetworkConfig
from pileus.services.network.ports.tables import ports
from pileus.services.network.taps import rules
from pileus.services.network.taps.resource import TAP_FLOW, TAP_MIRROR, TAP_SERVICE, TapServiceNotFound
from pileus.services.network.taps.tables import tap_flows, tap_mirrors, tap_services
from pileus.store.column_in import column_in
from pileus.store.errors import Duplicate, Referenced
from pileus.store.tx import Tx
from pileus.wire import scopes

UNLIMITED = -1
QUOTAS = tuple(
    network_quota(name, UNLIMITED, table.c.project_id)
    for name, table in (("tap_service", tap_services), ("tap_flow", tap_flows), ("tap_mirror", tap_mirrors))
)
_SERVICE_QUOTA, _FLOW_QUOTA, _MIRROR_QUOTA = QUOTAS
_NUMBERS = 1 << 24
_ATTEMPTS = 5


def tap_service_create(
    tx: Tx, context: Context, specs: Sequence[Values], *, config: NetworkConfig
) -> list[Values]:
    """Write new tap services; each has a number that no other one has."""
    specs = copied(specs)
    _check_ports(tx, context, specs)
    spend(tx, specs, _SERVICE_QUOTA)
    for attempt in range(1, _ATTEMPTS + 1):
        _give_numbers(tx, specs, config)
        try:
            _insert(tx, context, TAP_SERVICE, specs)
            break
        except Duplicate:  # another request has chosen the same one
            if attempt == _ATTEMPTS:
                raise
    _emit(tx, context, "tap_service.create", [(one, [one["port_id"]]) for one in specs])
    return list(specs)


def tap_service_update(tx: Tx, context: Context, updates: Sequence[Update]) -> list[Values]:
    """Change names and descriptions."""
    return _rename(tx, context, TAP_SERVICE, updates)


def tap_service_delete(tx: Tx, context: Context, originals: Sequence[Values]) -> None:
    """Delete tap services, and the flows that lead to them."""
    ids = [one["id"] for one in originals]
    sources: dict[str, list[str]] = {one["id"]: [one["port_id"]] for one in originals}
    statement = select(tap_flows.c.tap_service_id, tap_flows.c.source_port)
    for row in tx.rows(statement.where(column_in(tx, tap_flows.c.tap_service_id, ids))):
        sources[row.tap_service_id].append(row.source_port)
    TAP_SERVICE.remove(tx, originals)
    _emit(tx, context, "tap_service.delete", [(one, sources[one["id"]]) for one in originals])


def tap_flow_create(tx: Tx, context: Context, specs: Sequence[Values]) -> list[Values]:
    """Write new tap flows, between ports of one project."""
    services = {row.id: row for row in _rows(tx, tap_services, [one["tap_service_id"] for one in specs])}
    sources = {row.id: row for row in _rows(tx, ports, [one["source_port"] for one in specs])}
    for spec in specs:
        service = services.get(spec["tap_service_id"])
        if service is None or not rules.may_see(context, service.project_id):
            raise TapServiceNotFound(id=spec["tap_service_id"])
        source = sources.get(spec["source_port"])
        if source is None or not rules.may_see(context, source.project_id):
            raise rules.InvalidSourcePort(port=spec["source_port"])
        if service.project_id != spec["project_id"]:
            raise rules.TapServiceNotBelongToProject
        if source.project_id != spec["project_id"]:
            raise rules.PortDoesNotBelongToProject
        if service.port_id == source.id:
            raise InvalidInput("A port can not be the source of its own tap service")
    spend(tx, specs, _FLOW_QUOTA)
    _insert(tx, context, TAP_FLOW, specs)
    concerned = [(one, [one["source_port"], services[one["tap_service_id"]].port_id]) for one in specs]
    _emit(tx, context, "tap_flow.create", concerned)
    return list(specs)


def tap_flow_update(tx: Tx, context: Context, updates: Sequence[Update]) -> list[Values]:
    """Change names and descriptions."""
    return _rename(tx, context, TAP_FLOW, updates)


def tap_flow_delete(tx: Tx, context: Context, originals: Sequence[Values]) -> None:
    """Delete tap flows."""
    services = {row.id: row for row in _rows(tx, tap_services, [one["tap_service_id"] for one in originals])}
    TAP_FLOW.remove(tx, originals)
    concerned = [(one, [one["source_port"], services[one["tap_service_id"]].port_id]) for one in originals]
    _emit(tx, context, "tap_flow.delete", concerned)


def tap_mirror_create(tx: Tx, context: Context, specs: Sequence[Values]) -> list[Values]:
    """Write new tap mirrors. Within a project no two have a tunnel in common."""
    _check_ports(tx, context, specs)
    projects = sorted({one["project_id"] for one in specs})
    statement = select(tap_mirrors.c.project_id, tap_mirrors.c.directions)
    taken: dict[str, set[int]] = {project: set() for project in projects}
    for row in tx.rows(statement.where(column_in(tx, tap_mirrors.c.project_id, projects))):
        taken[row.project_id].update(row.directions.values())
    nodes = [
        row.tunneling_ip
        for row in tx.rows(select(agents.c.tunneling_ip).where(agents.c.tunneling_ip.is_not(None)).distinct())
    ]
    for spec in specs:
        rules.check_mirror(spec, taken[spec["project_id"]], nodes)
        taken[spec["project_id"]].update(spec["directions"].values())
    spend(tx, specs, _MIRROR_QUOTA)
    _insert(tx, context, TAP_MIRROR, specs)
    _emit(tx, context, "tap_mirror.create", [(one, [one["port_id"]]) for one in specs])
    return list(specs)


def tap_mirror_update(tx: Tx, context: Context, updates: Sequence[Update]) -> list[Values]:
    """Change names and descriptions."""
    return _rename(tx, context, TAP_MIRROR, updates)


def tap_mirror_delete(tx: Tx, context: Context, originals: Sequence[Values]) -> None:
    """Delete tap mirrors."""
    TAP_MIRROR.remove(tx, originals)
    _emit(tx, context, "tap_mirror.delete", [(one, [one["port_id"]]) for one in originals])


def _check_ports(tx: Tx, context: Context, specs: Sequence[Mapping[str, Any]]) -> None:
    """Make sure that the ports exist, for the caller, and belong to the projects."""
    found = {row.id: row for row in _rows(tx, ports, [one["port_id"] for one in specs])}
    for spec in specs:
        port = found.get(spec["port_id"])
        if port is None or not rules.may_see(context, port.project_id):
            raise PortNotFound(port_id=spec["port_id"])
        if port.project_id != spec["project_id"]:
            raise rules.PortDoesNotBelongToProject


def _give_numbers(tx: Tx, specs: Sequence[Values], config: NetworkConfig) -> None:
    wanted = set[int]()
    while len(wanted) < len(specs):
        new = {config.dice.randrange(1, _NUMBERS) for _ in range(len(specs) - len(wanted))}
        taken = tx.rows(select(tap_services.c.number).where(tap_services.c.number.in_(new)))
        wanted |= new - {row.number for row in taken}
    for spec, one in zip(specs, sorted(wanted), strict=True):
        spec["number"] = one


def _insert(tx: Tx, context: Context, resource: Resource, specs: Sequence[Values]) -> None:
    try:
        with tx.savepoint():
            resource.insert(tx, context, specs)
    except Referenced:  # the port or the service has gone meanwhile
        first = specs[0]
        if resource is TAP_FLOW:
            raise TapServiceNotFound(id=first["tap_service_id"]) from None
        raise PortNotFound(port_id=first["port_id"]) from None


def _rename(tx: Tx, context: Context, resource: Resource, updates: Sequence[Update]) -> list[Values]:
    after = resource.change(tx, context, updates)
    _emit(tx, context, f"{resource.name}.update", [(one, ()) for one in after])
    return after


def _rows(tx: Tx, table: Any, ids: Iterable[str]) -> list[Row[Any]]:
    columns = [table.c.id, table.c.project_id]
    if table is tap_services:
        columns.append(table.c.port_id)
    return tx.rows(select(*columns).where(column_in(tx, table.c.id, sorted(set(ids)))))


def _emit(
    tx: Tx, context: Context, kind: str, several: Iterable[tuple[Mapping[str, Any], Iterable[str]]]
) -> None:
    """Events; the hosts of the ports beside each look at these again."""
    tx.emit_many(
        [
            event(
                context,
                kind,
                one["id"],
                one["project_id"],
                [scopes.port(port) for port in concerned],
                name=one["name"],
            )
            for one, concerned in several
        ]
    )
