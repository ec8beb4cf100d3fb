"""Reports of DHCP agents and gateway machines on leases: events, shown in the timelines of ports."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import bindparam, or_, select

from pileus.core.context import Context
from pileus.resource.event import event
from pileus.services.network.agents.tables import agents
from pileus.services.network.dhcp.tables import dhcp_bindings
from pileus.services.network.ports.tables import ports
from pileus.services.network.routers.tables import router_bindings, router_ports
from pileus.services.network.rules import device_owners
from pileus.services.network.rules.agent_types import DHCP_AGENT, GATEWAY_AGENT
from pileus.services.network.subnets.tables import ip_allocations
from pileus.store.events import newest_position
from pileus.store.tx import Tx
from pileus.wire.dhcp import LeaseChange, LeaseReport
from pileus.wire.switch import Acknowledged

_KINDS = frozenset({"started", "renewed", "ended"})
_SERVED = (
    select(dhcp_bindings.c.network_id)
    .select_from(dhcp_bindings.join(agents, agents.c.id == dhcp_bindings.c.agent_id))
    .where(agents.c.host == bindparam("on_host"), agents.c.agent_type == DHCP_AGENT)
)
_inner = ports.alias("router_interfaces")
_BY_MACHINES = (
    select(_inner.c.network_id)
    .select_from(
        router_bindings.join(agents, agents.c.id == router_bindings.c.agent_id)
        .join(router_ports, router_ports.c.router_id == router_bindings.c.router_id)
        .join(_inner, _inner.c.id == router_ports.c.port_id)
    )
    .where(
        agents.c.host == bindparam("on_host"),
        agents.c.agent_type == GATEWAY_AGENT,
        router_ports.c.port_type == device_owners.ROUTER_INTERFACE,
    )
)
_HOLDERS = (
    select(
        ports.c.id,
        ports.c.project_id,
        ports.c.network_id,
        ports.c.device_id,
        ports.c.mac_address,
        ip_allocations.c.ip_address,
    )
    .select_from(ip_allocations.join(ports, ports.c.id == ip_allocations.c.port_id))
    .where(
        ip_allocations.c.ip_address.in_(bindparam("addresses", expanding=True)),
        ports.c.network_id.in_(bindparam("ids", expanding=True)),
        or_(
            ports.c.host == bindparam("on_host"),  # where the switch of a guest answers it
            ports.c.network_id.in_(_SERVED),
            ports.c.network_id.in_(_BY_MACHINES),
        ),
    )
)


def dhcp_leases(tx: Tx, context: Context, report: LeaseReport) -> Acknowledged:
    """Emit an event for each change of a lease that a port on the reporting host holds, or one of a network
    that it serves.

    One statement for any number. An address that is another port's by now, or nobody's, is passed over.
    Nobody waits for these events, so they carry no scopes.
    """
    changes = [one for one in report.changes if one.kind in _KINDS]
    if not changes:
        return Acknowledged(position=newest_position(tx))
    parameters = {
        "on_host": report.host,
        "addresses": sorted({one.ip_address for one in changes}),
        "ids": sorted({one.network_id for one in changes}),
    }
    holders = {(row.network_id, row.ip_address): row for row in tx.rows(_HOLDERS, parameters)}
    events = []
    for one in changes:
        port = holders.get((one.network_id, one.ip_address))
        if port is None or (one.mac_address is not None and one.mac_address.lower() != port.mac_address):
            continue
        events.append(
            event(
                context,
                f"port.lease_{one.kind}",
                port.id,
                port.project_id,
                host=report.host,
                network_id=port.network_id,
                device_id=port.device_id,
                ip_address=one.ip_address,
                detail=_said(one),
            )
        )
    tx.emit_many(events)
    return Acknowledged(position=newest_position(tx))


def _said(change: LeaseChange) -> str:
    if change.kind == "ended" or not change.expires_s:
        return change.ip_address
    try:
        until = dt.datetime.fromtimestamp(change.expires_s, dt.UTC)
    except (OverflowError, OSError, ValueError):
        return change.ip_address
    return f"{change.ip_address} until {until:%Y-%m-%dT%H:%M:%SZ}"
