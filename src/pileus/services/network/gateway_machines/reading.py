"""Facts of gateway machines, for those who make them: which there should be, and which there are."""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

from sqlalchemy import Row, and_, select

from pileus.services.network.agents.tables import agents
from pileus.services.network.gateway_machines.tables import gateway_machines
from pileus.services.network.ports.tables import ports
from pileus.services.network.routers.tables import router_bindings, router_ports, routers
from pileus.services.network.rules import device_owners
from pileus.services.network.rules.agent_types import GATEWAY_AGENT
from pileus.store.tx import Tx


class MachinePort(NamedTuple):
    """A port of a router. ``host``: where it is bound to, empty for nowhere."""

    port_id: str
    host: str


class WantedMachine(NamedTuple):
    """A router that is to be a machine, since it has ports; the gateway's is the first of them.

    ``host``: that of the agent which the router is bound to.
    """

    router_id: str
    project_id: str
    name: str
    status: str
    zone: str | None
    ports: tuple[MachinePort, ...]
    host: str | None


class KnownMachine(NamedTuple):
    """A gateway machine that is written down."""

    router_id: str
    server_id: str | None
    failures: int
    reason: str | None
    try_at: dt.datetime | None
    ailing_since: dt.datetime | None


_WANTED = (
    select(
        routers.c.id,
        routers.c.project_id,
        routers.c.name,
        routers.c.status,
        routers.c.availability_zone_hints,
        router_ports.c.port_id,
        router_ports.c.port_type,
        ports.c.host.label("port_host"),
        agents.c.host,
    )
    .select_from(
        routers.join(router_ports, router_ports.c.router_id == routers.c.id)
        .join(ports, ports.c.id == router_ports.c.port_id)
        .outerjoin(router_bindings, router_bindings.c.router_id == routers.c.id)
        .outerjoin(
            agents,
            and_(agents.c.id == router_bindings.c.agent_id, agents.c.agent_type == GATEWAY_AGENT),
        )
    )
    .where(routers.c.gateway_vm)
    .order_by(routers.c.id, ports.c.created_at, ports.c.id)
)
_KNOWN = select(
    *(gateway_machines.c[name] for name in KnownMachine._fields),
).order_by(gateway_machines.c.router_id)


def machines_wanted(tx: Tx) -> list[WantedMachine]:
    """The routers that are to be machines; one statement."""
    rows: dict[str, list[Row[Any]]] = {}
    for row in tx.rows(_WANTED):
        rows.setdefault(row.id, []).append(row)
    return [_wanted(several) for several in rows.values()]


def machines_known(tx: Tx) -> list[KnownMachine]:
    """The gateway machines that are written down; one statement."""
    return [KnownMachine(*tuple(row)) for row in tx.rows(_KNOWN)]


def _wanted(rows: list[Row[Any]]) -> WantedMachine:
    first = rows[0]
    ordered = sorted(rows, key=lambda row: row.port_type != device_owners.ROUTER_GATEWAY)
    hints = first.availability_zone_hints
    return WantedMachine(
        router_id=first.id,
        project_id=first.project_id,
        name=first.name,
        status=first.status,
        zone=hints[0] if hints else None,
        ports=tuple(MachinePort(row.port_id, row.port_host or "") for row in ordered),
        host=first.host,
    )
