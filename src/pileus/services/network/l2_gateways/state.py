"""Physical switches as nodes tell of them, and what these are told to carry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, delete, select, update

from pileus.core.context import Context
from pileus.resource.event import event
from pileus.services.network.agents.tables import agents
from pileus.services.network.config import NetworkConfig
from pileus.services.network.l2_gateways.resource import NONE
from pileus.services.network.l2_gateways.tables import (
    l2_gateway_connections,
    l2_gateway_ports,
    physical_addresses,
    physical_switches,
)
from pileus.services.network.networks.tables import networks
from pileus.services.network.ports.switch_state import forwarding_everywhere
from pileus.services.network.rules.agent_types import L2_GATEWAY_AGENT
from pileus.store.column_in import column_in
from pileus.store.event import Event
from pileus.store.events import newest_position
from pileus.store.tx import Tx
from pileus.wire import scopes
from pileus.wire.physical import (
    PhysicalAttachment,
    PhysicalNetwork,
    PhysicalState,
    PhysicalStateRequest,
    PhysicalStatus,
    PhysicalSwitch,
)
from pileus.wire.switch import Acknowledged, Segment

_LONGEST = 1024
_CONNECTED = (
    select(
        l2_gateway_ports.c.device_name,
        l2_gateway_ports.c.interface_name,
        l2_gateway_ports.c.vlan,
        l2_gateway_connections.c.segmentation_id,
        l2_gateway_connections.c.network_id,
    )
    .select_from(
        l2_gateway_connections.join(
            l2_gateway_ports, l2_gateway_ports.c.l2_gateway_id == l2_gateway_connections.c.l2_gateway_id
        ).join(physical_switches, physical_switches.c.name == l2_gateway_ports.c.device_name)
    )
    .where(physical_switches.c.host == bindparam("on_host"))
    .order_by(l2_gateway_ports.c.device_name, l2_gateway_ports.c.interface_name, l2_gateway_ports.c.vlan)
)
_ALIVE = select(agents.c.host).where(
    agents.c.agent_type == L2_GATEWAY_AGENT, agents.c.heartbeat_timestamp >= bindparam("since")
)


def physical_state(
    tx: Tx, context: Context, request: PhysicalStateRequest, *, config: NetworkConfig
) -> PhysicalState:
    """Note the switches of a node, and read what they should carry."""
    position = newest_position(tx)
    refused = _note(tx, context, request, config)
    rows = tx.rows(_CONNECTED, {"on_host": request.host})
    wanted = sorted({row.network_id for row in rows})
    found: tuple[PhysicalNetwork, ...] = ()
    if wanted:
        entries = forwarding_everywhere(tx, wanted)
        statement = select(networks).where(column_in(tx, networks.c.id, wanted)).order_by(networks.c.id)
        found = tuple(
            PhysicalNetwork(
                network_id=row.id,
                segment=Segment(
                    network_type=row.network_type,
                    physical_network=row.physical_network,
                    segmentation_id=row.segmentation_id,
                ),
                forwarding=tuple(entries.get(row.id, ())),
            )
            for row in tx.rows(statement)
            if row.admin_state_up
        )
    return PhysicalState(
        position=position,
        attachments=tuple(
            PhysicalAttachment(
                switch=row.device_name,
                port=row.interface_name,
                vlan=max(row.segmentation_id if row.vlan == NONE else row.vlan, 0),
                network_id=row.network_id,
            )
            for row in rows
        ),
        networks=found,
        refused=tuple(refused),
    )


def _note(tx: Tx, context: Context, request: PhysicalStateRequest, config: NetworkConfig) -> list[str]:
    """Write new switches and changed ones; a switch that another node drives stays that node's while its
    agent lives, and none may bear a node's name."""
    names = [one.name for one in request.switches]
    if not names:
        return []
    where = column_in(tx, physical_switches.c.name, names)
    known = {row.name: row for row in tx.rows(select(physical_switches).where(where))}
    nodes = {row.host for row in tx.rows(select(agents.c.host).where(column_in(tx, agents.c.host, names)))}
    others = {row.host for row in known.values()} - {request.host}
    alive = set()
    if others:
        alive = {row.host for row in tx.rows(_ALIVE, {"since": config.alive_since(context.now)})}
    refused, events = [], []
    for one in request.switches:
        before = known.get(one.name)
        if one.name in nodes or (before is not None and before.host != request.host and before.host in alive):
            refused.append(one.name)
            continue
        values = _values(request.host, one)
        if before is None:
            tx.insert(physical_switches, [{"name": one.name, "failure": None, **values}])
        elif any(getattr(before, key) != value for key, value in values.items()):
            tx.execute(update(physical_switches).where(physical_switches.c.name == one.name).values(**values))
        else:
            continue
        events.append(_event(context, "physical_switch.update", one.name, request.host))
    tx.emit_many(events)
    return refused


def _values(host: str, switch: PhysicalSwitch) -> dict[str, Any]:
    return {
        "host": host,
        "kind": switch.kind,
        "ports": list(switch.ports),
        "tunnel_ip": switch.tunnel_ip,
        "tunnel_types": ["vxlan"] if switch.tunnel_ip else [],
    }


def physical_status(
    tx: Tx, context: Context, status: PhysicalStatus, *, config: NetworkConfig
) -> Acknowledged:
    """Write which machines a node's own switches have seen, and why one is not as it should be."""
    mine = {
        row.name: row
        for row in tx.rows(select(physical_switches).where(physical_switches.c.host == status.host))
    }
    connected: dict[str, set[str]] = {}
    for row in tx.rows(_CONNECTED, {"on_host": status.host}):
        connected.setdefault(row.device_name, set()).add(row.network_id)
    events = []
    for name, row in mine.items():
        failure = status.failed.get(name)
        failure = failure[:_LONGEST] if failure is not None else None
        if failure != row.failure:
            values = {"failure": failure}
            tx.execute(update(physical_switches).where(physical_switches.c.name == name).values(**values))
        if name in status.learned:
            said = {
                (one.network_id, one.mac_address.lower())
                for one in status.learned[name]
                if one.network_id in connected.get(name, ())
            }
            events += _learned(tx, context, status.host, name, said)
    tx.emit_many(events)
    return Acknowledged(position=newest_position(tx))


def _learned(tx: Tx, context: Context, host: str, name: str, said: set[tuple[str, str]]) -> list[Event]:
    table = physical_addresses
    rows = tx.rows(select(table.c.network_id, table.c.mac_address).where(table.c.switch_name == name))
    known = {(row.network_id, row.mac_address) for row in rows}
    gone, new = known - said, said - known
    for network_id in sorted({network_id for network_id, _ in gone}):
        macs = sorted(mac for one, mac in gone if one == network_id)
        tx.execute(
            delete(table).where(
                table.c.switch_name == name,
                table.c.network_id == network_id,
                column_in(tx, table.c.mac_address, macs),
            )
        )
    if new:
        tx.insert(
            table,
            [
                {"switch_name": name, "network_id": network_id, "mac_address": mac}
                for network_id, mac in sorted(new)
            ],
        )
    changed = sorted({network_id for network_id, _ in gone | new})
    if not changed:
        return []
    return [_event(context, "physical_switch.learn", name, host, *map(scopes.network, changed))]


def _event(context: Context, kind: str, name: str, host: str, *told: str) -> Event:
    return event(context, kind, name, None, told or (scopes.tunnels(), scopes.physical(host)), host=host)


def gateways_leave_networks(tx: Tx, context: Context, ids: Sequence[str], config: NetworkConfig) -> None:
    """Connections go with their network, by the key of their table; the switches' nodes look again."""
    statement = (
        select(physical_switches.c.host)
        .select_from(
            l2_gateway_connections.join(
                l2_gateway_ports, l2_gateway_ports.c.l2_gateway_id == l2_gateway_connections.c.l2_gateway_id
            ).join(physical_switches, physical_switches.c.name == l2_gateway_ports.c.device_name)
        )
        .where(column_in(tx, l2_gateway_connections.c.network_id, ids))
        .distinct()
    )
    hosts = [row.host for row in tx.rows(statement)]
    if hosts:
        told = map(scopes.physical, hosts)
        tx.emit_many([event(context, "l2_gateway_connection.delete", ids[0], None, told)])
