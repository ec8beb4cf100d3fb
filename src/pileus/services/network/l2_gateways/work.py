"""Units of work of L2 gateways and their connections."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import delete, select

from pileus.core.context import Context
from pileus.core.ids import new_id
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.services.network.common.copies import copied
from pileus.services.network.common.errors import NetworkNotFound
from pileus.services.network.common.quotas import network_quota, spend
from pileus.services.network.l2_gateways import rules
from pileus.services.network.l2_gateways.resource import (
    L2_GATEWAY,
    L2_GATEWAY_CONNECTION,
    NONE,
    L2GatewayNotFound,
)
from pileus.services.network.l2_gateways.rules import Place
from pileus.services.network.l2_gateways.tables import (
    l2_gateway_connections,
    l2_gateway_ports,
    l2_gateways,
    physical_switches,
)
from pileus.services.network.networks.tables import networks
from pileus.store.column_in import column_in
from pileus.store.errors import Duplicate, Referenced
from pileus.store.tx import Tx
from pileus.wire import scopes

L2_GATEWAY_QUOTA = network_quota("l2_gateway", 5, l2_gateways.c.project_id)


def gateway_create(tx: Tx, context: Context, specs: Sequence[Values]) -> list[Values]:
    """Write new gateways; nothing is bound before they have connections."""
    spend(tx, specs, L2_GATEWAY_QUOTA)
    specs = copied(specs)
    for spec in specs:
        _number(spec["devices"])
    L2_GATEWAY.insert(tx, context, specs)
    _write_ports(tx, {spec["id"]: rules.ports_of(spec["devices"]) for spec in specs})
    _emit(tx, context, "l2_gateway.create", specs, {})
    return list(specs)


def gateway_update(tx: Tx, context: Context, updates: Sequence[Update]) -> list[Values]:
    """Change names, and devices while there are no connections; L2GatewayInUse."""
    changed = [one for one in updates if "devices" in one.changes]
    _refuse_used(tx, [one.original["id"] for one in changed])
    for one in changed:
        _number(one.changes["devices"])
    after = L2_GATEWAY.change(tx, context, updates)
    ids = [one.original["id"] for one in changed]
    if ids:
        tx.execute(delete(l2_gateway_ports).where(column_in(tx, l2_gateway_ports.c.l2_gateway_id, ids)))
        _write_ports(tx, {one["id"]: rules.ports_of(one["devices"]) for one in after if one["id"] in ids})
    _emit(tx, context, "l2_gateway.update", after, {})
    return after


def gateway_delete(tx: Tx, context: Context, originals: Sequence[Values]) -> None:
    """Delete gateways that have no connections; L2GatewayInUse."""
    _refuse_used(tx, [one["id"] for one in originals])
    try:
        with tx.savepoint():
            L2_GATEWAY.remove(tx, originals)
    except Referenced:  # a connection has come meanwhile
        raise rules.L2GatewayInUse(gateway_id=originals[0]["id"]) from None
    _emit(tx, context, "l2_gateway.delete", originals, {})


def connection_create(tx: Tx, context: Context, specs: Sequence[Values]) -> list[Values]:
    """Write new connections: the networks are on the ports of their gateways from now on."""
    ids = sorted({spec["l2_gateway_id"] for spec in specs})
    held = select(l2_gateways.c.id).where(column_in(tx, l2_gateways.c.id, ids)).with_for_update()
    known = {row.id for row in tx.rows(held)}
    found = select(networks.c.id, networks.c.network_type, networks.c.segmentation_id)
    wanted = sorted({spec["network_id"] for spec in specs})
    there = {row.id: row for row in tx.rows(found.where(column_in(tx, networks.c.id, wanted)))}
    ports = _ports(tx, ids)
    switches = {row.name: row for row in tx.rows(select(physical_switches))}
    taken = _taken(tx, {device for several in ports.values() for device, _, _ in several})
    for spec in specs:
        gateway_id, network_id = spec["l2_gateway_id"], spec["network_id"]
        if gateway_id not in known:
            raise L2GatewayNotFound(id=gateway_id)
        if network_id not in there:
            raise NetworkNotFound(network_id=network_id)
        rules.check_segmentation(spec["segmentation_id"], ports[gateway_id])
        for place in rules.places(ports[gateway_id], spec["segmentation_id"]):
            rules.check_switch(there[network_id], place, switches)
            if taken.setdefault(place, network_id) != network_id:
                device, interface, vlan = place
                reason = f"VLAN {vlan} of port {interface} of {device} has network {taken[place]}"
                raise rules.L2GatewayDuplicateSegmentationID(reason=reason)
    try:
        with tx.savepoint():
            L2_GATEWAY_CONNECTION.insert(tx, context, specs)
    except Duplicate:
        raise rules.L2GatewayConnectionExists(
            mapping={key: specs[0][key] for key in ("network_id", "segmentation_id")},
            gateway_id=specs[0]["l2_gateway_id"],
        ) from None
    _emit(tx, context, "l2_gateway_connection.create", specs, ports)
    return list(specs)


def connection_delete(tx: Tx, context: Context, originals: Sequence[Values]) -> None:
    """Delete connections; the switches carry their networks no longer."""
    ports = _ports(tx, sorted({one["l2_gateway_id"] for one in originals}))
    L2_GATEWAY_CONNECTION.remove(tx, originals)
    _emit(tx, context, "l2_gateway_connection.delete", originals, ports)


def _number(devices: Iterable[dict[str, Any]]) -> None:
    for device in devices:
        device["id"] = new_id()


def _write_ports(tx: Tx, several: Mapping[str, Iterable[Place]]) -> None:
    rows = [
        {"l2_gateway_id": key, "device_name": device, "interface_name": interface, "vlan": vlan}
        for key, ports in several.items()
        for device, interface, vlan in ports
    ]
    if rows:
        tx.insert(l2_gateway_ports, rows)


def _ports(tx: Tx, gateway_ids: Collection[str]) -> dict[str, list[Place]]:
    found: dict[str, list[Place]] = {key: [] for key in gateway_ids}
    where = column_in(tx, l2_gateway_ports.c.l2_gateway_id, sorted(gateway_ids))
    for row in tx.rows(select(l2_gateway_ports).where(where)):
        found[row.l2_gateway_id].append((row.device_name, row.interface_name, row.vlan))
    return found


def _taken(tx: Tx, devices: Collection[str]) -> dict[Place, str]:
    """The network on each place of these devices."""
    statement = (
        select(
            l2_gateway_ports, l2_gateway_connections.c.network_id, l2_gateway_connections.c.segmentation_id
        )
        .select_from(
            l2_gateway_ports.join(
                l2_gateway_connections,
                l2_gateway_connections.c.l2_gateway_id == l2_gateway_ports.c.l2_gateway_id,
            )
        )
        .where(column_in(tx, l2_gateway_ports.c.device_name, sorted(devices)))
    )
    return {
        (
            row.device_name,
            row.interface_name,
            row.segmentation_id if row.vlan == NONE else row.vlan,
        ): row.network_id
        for row in tx.rows(statement)
    }


def _refuse_used(tx: Tx, ids: Sequence[str]) -> None:
    if not ids:
        return
    where = column_in(tx, l2_gateway_connections.c.l2_gateway_id, ids)
    used = tx.first(select(l2_gateway_connections.c.l2_gateway_id).where(where))
    if used is not None:
        raise rules.L2GatewayInUse(gateway_id=used.l2_gateway_id)


def _emit(
    tx: Tx,
    context: Context,
    kind: str,
    several: Sequence[Mapping[str, Any]],
    ports: Mapping[str, Iterable[Place]],
) -> None:
    """Events; where connections change, the nodes of the switches and those of the network look again."""
    names = sorted({device for places in ports.values() for device, _, _ in places})
    hosts = {}
    if names:
        where = column_in(tx, physical_switches.c.name, names)
        hosts = {row.name: row.host for row in tx.rows(select(physical_switches).where(where))}
    events = []
    for one in several:
        told: set[str] = set()
        if "network_id" in one:
            told |= {scopes.network(one["network_id"]), scopes.tunnels()}
            told |= {
                scopes.physical(hosts[device])
                for device, _, _ in ports.get(one["l2_gateway_id"], ())
                if device in hosts
            }
        events.append(event(context, kind, one["id"], one["project_id"], told))
    tx.emit_many(events)
