"""Units of work of topologies made on demand.

All of one is made in one transaction: a network, a subnet of each default pool, a router to the default
external network. Two requests at once wait for each other, and the second finds what the first has made.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, delete, select

from pileus.core.context import Context
from pileus.core.errors import Conflict
from pileus.resource.check import check_create
from pileus.resource.declaration import Resource, Values
from pileus.resource.rows import fetch
from pileus.services.network.auto_allocated_topology.tables import auto_allocated_topologies
from pileus.services.network.config import NetworkConfig
from pileus.services.network.networks.resource import NETWORK
from pileus.services.network.networks.tables import networks
from pileus.services.network.networks.work import network_create, network_delete
from pileus.services.network.ports.defaults import elevated
from pileus.services.network.routers.interfaces import interface_add_subnet, interface_remove
from pileus.services.network.routers.resource import ROUTER
from pileus.services.network.routers.work import router_create, router_delete
from pileus.services.network.subnetpools.tables import subnetpools
from pileus.services.network.subnets.resource import SUBNET
from pileus.services.network.subnets.tables import subnets
from pileus.services.network.subnets.work import subnet_create
from pileus.store.tx import Tx


class AutoAllocationFailure(Conflict):
    message = "Deployment error: {reason}."


_OF_PROJECT = select(auto_allocated_topologies).where(
    auto_allocated_topologies.c.project_id == bindparam("project")
)
_FORGET = delete(auto_allocated_topologies).where(
    auto_allocated_topologies.c.project_id == bindparam("project")
)
_OUTSIDE = select(networks.c.id).where(networks.c.is_default, networks.c.external).order_by(networks.c.id)
_POOLS = (
    select(subnetpools.c.id, subnetpools.c.ip_version)
    .where(subnetpools.c.is_default)
    .order_by(subnetpools.c.ip_version)
)


def topology_get(tx: Tx, context: Context, project_id: str, config: NetworkConfig) -> str:
    """Return the network of a project's topology, which is made where there is none."""
    tx.lock(f"auto_allocated_topology:{project_id}")
    there = tx.first(_OF_PROJECT, {"project": project_id})
    if there is not None:
        return str(there.network_id)
    outside, pools = topology_check(tx)
    return _make(tx, context, project_id, outside, pools, config)


def topology_check(tx: Tx) -> tuple[str, list[Any]]:
    """The external network and the pools that a topology would be made of; AutoAllocationFailure where one
    is missing."""
    outside = tx.first(_OUTSIDE)
    if outside is None:
        raise AutoAllocationFailure(reason="No default router:external network")
    pools = list(tx.rows(_POOLS))
    if not pools:
        raise AutoAllocationFailure(reason="No default subnetpools defined")
    return str(outside.id), pools


def topology_delete(tx: Tx, context: Context, project_id: str, config: NetworkConfig) -> None:
    """Delete the topology of a project, if there is one, with all that was made for it."""
    tx.lock(f"auto_allocated_topology:{project_id}")
    there = tx.first(_OF_PROJECT, {"project": project_id})
    if there is None:
        return
    as_admin = elevated(context)
    (router,) = fetch(tx, ROUTER, [there.router_id], lock=True)
    for subnet in fetch(tx, SUBNET, where=[subnets.c.network_id == there.network_id]):
        interface_remove(tx, as_admin, router, port_id=None, subnet=subnet, config=config)
    tx.execute(_FORGET, {"project": project_id})
    router_delete(tx, as_admin, fetch(tx, ROUTER, [there.router_id], lock=True), config=config)
    network_delete(tx, as_admin, fetch(tx, NETWORK, [there.network_id], lock=True), config=config)


def _make(
    tx: Tx, context: Context, project_id: str, outside: str, pools: list[Any], config: NetworkConfig
) -> str:
    as_admin = elevated(context)

    def spec(resource: Resource, name: str, **values: Any) -> Values:
        return check_create(
            resource, as_admin, {"name": f"auto_allocated_{name}", "project_id": project_id, **values}
        )

    (network,) = network_create(tx, as_admin, [spec(NETWORK, "network")], config=config)
    made = subnet_create(
        tx,
        as_admin,
        [
            spec(
                SUBNET,
                f"subnet_v{pool.ip_version}",
                network_id=network["id"],
                ip_version=pool.ip_version,
                subnetpool_id=pool.id,
                **({"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"} if pool.ip_version == 6 else {}),
            )
            for pool in pools
        ],
        config=config,
    )
    gateway = {"network_id": outside}
    (router,) = router_create(
        tx, as_admin, [spec(ROUTER, "router", external_gateway_info=gateway)], config=config
    )
    for subnet in made:
        (current,) = fetch(tx, ROUTER, [router["id"]], lock=True)
        interface_add_subnet(tx, as_admin, current, subnet, config=config)
    tx.insert(
        auto_allocated_topologies,
        [{"project_id": project_id, "network_id": network["id"], "router_id": router["id"]}],
    )
    return str(network["id"])
