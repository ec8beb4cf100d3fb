"""Routers between subnets and external networks."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import and_, bindparam, select

from pileus.core.context import Context
from pileus.core.errors import Conflict
from pileus.services.network.common.errors import RouterNotFound
from pileus.services.network.ports.tables import ports
from pileus.services.network.routers.tables import router_ports, routers
from pileus.services.network.rules import device_owners
from pileus.services.network.subnets.tables import ip_allocations, subnets
from pileus.store.tx import Tx

_outside = ports.alias("outside")
_to_inside, _to_outside = router_ports.alias("to_inside"), router_ports.alias("to_outside")
# Every router between some subnets and some external networks, with its address on the subnet.
_ROUTERS_BETWEEN = (
    select(
        _to_inside.c.router_id,
        ip_allocations.c.subnet_id,
        ip_allocations.c.ip_address,
        _outside.c.network_id,
        subnets.c.gateway_ip,
    )
    .select_from(
        ip_allocations.join(
            _to_inside,
            and_(
                _to_inside.c.port_id == ip_allocations.c.port_id,
                _to_inside.c.port_type.in_(device_owners.INTERFACES),
            ),
        )
        .join(subnets, subnets.c.id == ip_allocations.c.subnet_id)
        .join(
            _to_outside,
            and_(
                _to_outside.c.router_id == _to_inside.c.router_id,
                _to_outside.c.port_type == device_owners.ROUTER_GATEWAY,
            ),
        )
        .join(_outside, _outside.c.id == _to_outside.c.port_id)
    )
    .where(
        ip_allocations.c.subnet_id.in_(bindparam("subnets", expanding=True)),
        _outside.c.network_id.in_(bindparam("networks", expanding=True)),
    )
    .order_by(_to_inside.c.router_id)
)


# Routers with the external networks that they have gateways on.
_OUTSIDE_OF = (
    select(routers.c.id, routers.c.project_id, _outside.c.network_id)
    .select_from(
        routers.outerjoin(
            _to_outside,
            and_(
                _to_outside.c.router_id == routers.c.id,
                _to_outside.c.port_type == device_owners.ROUTER_GATEWAY,
            ),
        ).outerjoin(_outside, _outside.c.id == _to_outside.c.port_id)
    )
    .where(routers.c.id.in_(bindparam("ids", expanding=True)))
)


class NoGatewayOnFloatingNetwork(Conflict):
    message = "Router {router_id} has no external gateway on network {net_id}."


def check_named_routers(tx: Tx, context: Context, named: Collection[tuple[str, str]]) -> None:
    """Refuse routers (with the external networks of floating IPs) that the caller does not see or that have
    no gateway there. They need not be attached to where a floating IP leads: that routes lead there is up to
    who names them."""
    if not named:
        return
    outside: dict[str, set[str | None]] = {}
    for row in tx.rows(_OUTSIDE_OF, {"ids": sorted({router_id for router_id, _ in named})}):
        if context.is_admin or row.project_id == context.project_id:
            outside.setdefault(row.id, set()).add(row.network_id)
    for router_id, network_id in sorted(named):
        if router_id not in outside:
            raise RouterNotFound(router_id=router_id)
        if network_id not in outside[router_id]:
            raise NoGatewayOnFloatingNetwork(router_id=router_id, net_id=network_id)


def routers_between(
    tx: Tx, subnet_ids: Collection[str], network_ids: Collection[str]
) -> dict[tuple[str, str], str]:
    """The router from each subnet to each external network: the subnet's gateway if it is one of several."""
    if not subnet_ids:
        return {}
    found: dict[tuple[str, str], str] = {}
    for row in tx.rows(_ROUTERS_BETWEEN, {"subnets": sorted(subnet_ids), "networks": sorted(network_ids)}):
        key = (row.subnet_id, row.network_id)
        if key not in found or row.ip_address == row.gateway_ip:
            found[key] = row.router_id
    return found
