"""Telling agents that they get or lose routers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from sqlalchemy import bindparam, select

from pileus.core.context import Context
from pileus.resource.event import event
from pileus.services.network.ports.tables import ports
from pileus.services.network.routers.tables import router_ports
from pileus.store.tx import Tx
from pileus.wire import scopes

_PORTS = (
    select(router_ports.c.router_id, router_ports.c.port_id, ports.c.network_id)
    .select_from(router_ports.join(ports, ports.c.id == router_ports.c.port_id))
    .where(
        router_ports.c.router_id.in_(bindparam("ids", expanding=True)),
        router_ports.c.port_type.in_(bindparam("types", expanding=True)),
    )
)


def tell(
    tx: Tx,
    context: Context,
    kind: str,
    several: Sequence[tuple[str, str, str]],
    more: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> None:
    """Wake the agents that get or lose routers ``(id, agent, host)``, and those of more scopes, by router."""
    tx.emit_many(
        [
            event(
                context,
                kind,
                router_id,
                None,
                [scopes.l3(host), scopes.router(router_id), *more.get(router_id, ())],
                host=host,
                agent_id=agent_id,
            )
            for router_id, agent_id, host in several
        ]
    )


def port_scopes(tx: Tx, router_ids: Sequence[str], port_types: Sequence[str]) -> dict[str, set[str]]:
    """Routers' ports of some types and their networks, by router: a host gets or loses the ports though they
    are bound to another one, and other hosts send to each host that has them."""
    found: dict[str, set[str]] = {}
    for row in tx.rows(_PORTS, {"ids": list(router_ids), "types": list(port_types)}):
        told = {scopes.port(row.port_id), scopes.network(row.network_id)}
        found.setdefault(row.router_id, set()).update(told)
    return found
