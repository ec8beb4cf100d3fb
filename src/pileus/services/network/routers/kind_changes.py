"""Routers that become of another kind: their agents, HA networks and the owners of their ports change."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, select, update

from pileus.core.context import Context
from pileus.resource.declaration import Update, Values
from pileus.resource.rows import fetch
from pileus.services.network.config import NetworkConfig
from pileus.services.network.ports.defaults import elevated
from pileus.services.network.ports.resource import PORT
from pileus.services.network.ports.update import update_ports
from pileus.services.network.routers.central_ports import central_ports_sync
from pileus.services.network.routers.ha_networks import ha_networks_join, ha_networks_leave
from pileus.services.network.routers.ha_scheduling import (
    ha_routers_check_agents,
    ha_routers_schedule,
    ha_unbind,
)
from pileus.services.network.routers.handovers import handovers_end
from pileus.services.network.routers.kinds import interface_owner
from pileus.services.network.routers.scheduling import BOUND, routers_schedule, unbind
from pileus.services.network.routers.tables import router_ports
from pileus.services.network.rules import device_owners
from pileus.store.tx import Tx

_INTERFACES = select(router_ports.c.port_id, router_ports.c.router_id).where(
    router_ports.c.router_id.in_(bindparam("ids", expanding=True)),
    router_ports.c.port_type.in_(device_owners.INTERFACES),
)
_HAS_PORTS = (
    select(router_ports.c.router_id)
    .distinct()
    .where(router_ports.c.router_id.in_(bindparam("ids", expanding=True)))
)
_RENAME = (
    update(router_ports)
    .where(router_ports.c.port_id.in_(bindparam("ids", expanding=True)))
    .values(port_type=bindparam("owner"))
)


def routers_leave_kind(tx: Tx, context: Context, updates: Sequence[Update], config: NetworkConfig) -> None:
    """Take routers that become or cease to be of high availability from their agents."""
    if not updates:
        return
    changed = [one for one in updates if one.changes.get("ha", one.original["ha"]) != one.original["ha"]]
    ids = [one.original["id"] for one in changed]
    bound = tx.rows(BOUND, {"ids": ids}) if ids else []
    handovers_end(tx, ids)
    unbind(tx, context, [row for row in bound if row.ha_state is None])
    ha_unbind(tx, context, [row for row in bound if row.ha_state is not None], config)
    ha_networks_leave(tx, context, [one.original["id"] for one in changed if one.original["ha"]], config)


def routers_enter_kind(tx: Tx, context: Context, updates: Sequence[Update], config: NetworkConfig) -> None:
    """Give routers, which have changed, the agents and ports of their new kind."""
    if not updates:
        return
    after = [Values({**one.original, **one.changes}) for one in updates]
    _rename_ports(tx, context, after, config)
    spread = [
        new["id"]
        for one, new in zip(updates, after, strict=True)
        if new["distributed"] != one.original["distributed"]
    ]
    if spread:
        central_ports_sync(tx, context, spread, config)
        for follow in config.followers.routers_spread:
            follow(tx, context, spread, config)
    changed = [new for one, new in zip(updates, after, strict=True) if new["ha"] != one.original["ha"]]
    if several := [new for new in changed if new["ha"]]:
        ha_routers_check_agents(tx, context, config)
        ha_networks_join(tx, context, several, config)
        ha_routers_schedule(tx, context, [new["id"] for new in several], config)
    if single := [new["id"] for new in changed if not new["ha"]]:
        with_ports = sorted(row.router_id for row in tx.rows(_HAS_PORTS, {"ids": single}))
        routers_schedule(tx, context, with_ports, config)


def _rename_ports(tx: Tx, context: Context, routers: Sequence[Values], config: NetworkConfig) -> None:
    owners = {router["id"]: interface_owner(router) for router in routers}
    ports: dict[str, list[str]] = {}
    for row in tx.rows(_INTERFACES, {"ids": sorted(owners)}):
        ports.setdefault(owners[row.router_id], []).append(row.port_id)
    for owner, ids in ports.items():
        tx.execute(_RENAME, {"ids": ids, "owner": owner})
    if not ports:
        return
    named = {port_id: owner for owner, ids in ports.items() for port_id in ids}
    updates = [
        Update(port, Values({"device_owner": named[port["id"]]}))
        for port in fetch(tx, PORT, sorted(named), lock=True)
    ]
    update_ports(tx, elevated(context), updates, config=config)
