"""Distributed routers in the desired state of a node's switch; one statement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, Select, select

from pileus.services.network.agents.distributed import routers_of
from pileus.services.network.ports.tables import ports
from pileus.services.network.routers.tables import router_ports, routers
from pileus.services.network.rules import device_owners
from pileus.store.tx import Tx
from pileus.wire.dhcp import HostRoute
from pileus.wire.distributed import DistributedInterface, DistributedRouter


def distributed_statement(networks: Select[Any]) -> Select[Any]:
    """Ports of the distributed routers that have an interface on one of some networks."""
    return (
        select(
            router_ports.c.router_id,
            router_ports.c.port_type,
            routers.c.routes,
            ports.c.network_id,
            ports.c.mac_address,
            ports.c.fixed_ips,
        )
        .select_from(
            router_ports.join(ports, ports.c.id == router_ports.c.port_id).join(
                routers, routers.c.id == router_ports.c.router_id
            )
        )
        .where(
            router_ports.c.port_type.in_((device_owners.DISTRIBUTED_INTERFACE, device_owners.CENTRAL_SNAT)),
            router_ports.c.router_id.in_(routers_of(networks)),
        )
        .order_by(router_ports.c.router_id, ports.c.id)
    )


def distributed_routers(
    tx: Tx, statement: Select[Any], here: Mapping[str, Any]
) -> tuple[DistributedRouter, ...]:
    """Read the routers that concern a host."""
    found: dict[str, list[Row[Any]]] = {}
    for row in tx.rows(statement, here):
        found.setdefault(row.router_id, []).append(row)
    return tuple(_router(router_id, rows) for router_id, rows in found.items())


def _router(router_id: str, rows: list[Row[Any]]) -> DistributedRouter:
    central: dict[str, str] = {}
    for row in rows:
        if row.port_type == device_owners.CENTRAL_SNAT:
            central.setdefault(row.network_id, row.mac_address)
    return DistributedRouter(
        router_id=router_id,
        interfaces=tuple(
            DistributedInterface(
                network_id=row.network_id,
                mac_address=row.mac_address,
                ip_addresses=tuple(ip["ip_address"] for ip in row.fixed_ips),
                central_mac=central.get(row.network_id),
            )
            for row in rows
            if row.port_type == device_owners.DISTRIBUTED_INTERFACE
        ),
        routes=tuple(
            HostRoute(destination=one["destination"], nexthop=one["nexthop"]) for one in rows[0].routes
        ),
    )
