"""The networks by which the agents of routers of high availability hear of each other: one for a project,
which nobody owns, with a number of VRRP (RFC 5798) for each router."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, select

from pileus.core.context import Context
from pileus.core.errors import Conflict
from pileus.resource.check import check_create
from pileus.resource.declaration import Values
from pileus.resource.rows import fetch
from pileus.services.network.config import NetworkConfig
from pileus.services.network.networks.resource import NETWORK, TYPE
from pileus.services.network.networks.work import network_create, network_delete
from pileus.services.network.ports.defaults import elevated
from pileus.services.network.ports.tables import ports
from pileus.services.network.routers.tables import ha_networks, ha_vr_ids
from pileus.services.network.subnets.resource import SUBNET
from pileus.services.network.subnets.work import subnet_create
from pileus.store.tx import Tx

_VR_IDS = frozenset(range(1, 255))


class NoVRIDAvailable(Conflict):
    message = (
        "No more Virtual Router Identifier (VRID) available when creating router {router_id}. The limit of "
        "number of HA Routers per tenant is 254."
    )


_NETWORKS = select(ha_networks.c.project_id, ha_networks.c.network_id).where(
    ha_networks.c.project_id.in_(bindparam("projects", expanding=True))
)
_TAKEN = select(ha_vr_ids.c.network_id, ha_vr_ids.c.vr_id).where(
    ha_vr_ids.c.network_id.in_(bindparam("networks", expanding=True))
)
_OF_ROUTERS = select(ha_vr_ids.c.router_id, ha_vr_ids.c.network_id).where(
    ha_vr_ids.c.router_id.in_(bindparam("ids", expanding=True))
)
_WITH_PORTS = (
    select(ports.c.network_id).where(ports.c.network_id.in_(bindparam("networks", expanding=True))).distinct()
)
_FREE = delete(ha_vr_ids).where(ha_vr_ids.c.router_id.in_(bindparam("ids", expanding=True)))
_FORGET = delete(ha_networks).where(ha_networks.c.network_id.in_(bindparam("networks", expanding=True)))


def ha_networks_join(tx: Tx, context: Context, routers: Sequence[Values], config: NetworkConfig) -> None:
    """Give routers a number on the HA network of their project, which is made with the first of them."""
    projects = sorted({router["project_id"] for router in routers})
    tx.lock(*(f"ha_network:{project_id}" for project_id in projects))
    networks = {row.project_id: row.network_id for row in tx.rows(_NETWORKS, {"projects": projects})}
    networks |= _make(tx, context, [one for one in projects if one not in networks], config)
    taken: dict[str, set[int]] = {network_id: set() for network_id in networks.values()}
    for row in tx.rows(_TAKEN, {"networks": sorted(taken)}):
        taken[row.network_id].add(row.vr_id)
    rows = []
    for router in routers:
        network_id = networks[router["project_id"]]
        number = _free(taken[network_id], router, config.dice)
        taken[network_id].add(number)
        rows.append({"network_id": network_id, "vr_id": number, "router_id": router["id"]})
    tx.insert(ha_vr_ids, rows)


def ha_networks_leave(tx: Tx, context: Context, router_ids: Sequence[str], config: NetworkConfig) -> None:
    """Take routers, which have no ports there any more, off their HA networks. One without routers goes, or
    is left to the administrator who has put a port on it."""
    left = {row.network_id for row in tx.rows(_OF_ROUTERS, {"ids": list(router_ids)})}
    if not left:
        return
    tx.execute(_FREE, {"ids": list(router_ids)})
    empty = left - {row.network_id for row in tx.rows(_TAKEN, {"networks": sorted(left)})}
    if not empty:
        return
    tx.execute(_FORGET, {"networks": sorted(empty)})
    without = fetch(tx, NETWORK, sorted(empty), lock=True)
    used = {row.network_id for row in tx.rows(_WITH_PORTS, {"networks": sorted(empty)})}
    if going := [network for network in without if network["id"] not in used]:
        network_delete(tx, elevated(context), going, config=config)


def ha_networks_of(tx: Tx, router_ids: Sequence[str]) -> Mapping[str, str]:
    """The HA networks of routers: ``{router id: network id}``."""
    return {row.router_id: row.network_id for row in tx.rows(_OF_ROUTERS, {"ids": list(router_ids)})}


def _make(tx: Tx, context: Context, projects: Sequence[str], config: NetworkConfig) -> dict[str, str]:
    if not projects:
        return {}
    as_admin = elevated(context)
    kind = {TYPE: config.l3_ha_network_type} if config.l3_ha_network_type else {}
    specs = [
        _values(as_admin, NETWORK, name=f"HA network project {project_id}", **kind) for project_id in projects
    ]
    made = network_create(tx, as_admin, specs, config=config)
    subnet_create(
        tx,
        as_admin,
        [
            _values(
                as_admin,
                SUBNET,
                name=f"HA subnet project {project_id}",
                network_id=network["id"],
                ip_version=4,
                cidr=config.l3_ha_net_cidr,
                gateway_ip=None,
                enable_dhcp=False,
            )
            for project_id, network in zip(projects, made, strict=True)
        ],
        config=config,
    )
    found = {project_id: network["id"] for project_id, network in zip(projects, made, strict=True)}
    tx.insert(ha_networks, [{"project_id": one, "network_id": network} for one, network in found.items()])
    return found


def _values(context: Context, resource: Any, **values: Any) -> Values:
    return check_create(resource, context, {"project_id": "", **values})


def _free(taken: set[int], router: Values, dice: random.Random) -> int:
    free = sorted(_VR_IDS - taken)
    if not free:
        raise NoVRIDAvailable(router_id=router["id"])
    return dice.choice(free)
