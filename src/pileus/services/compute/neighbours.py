"""What compute reads and does in the network service, gathered in one place.

Everything here runs inside the caller's transaction, takes many at once, and sends a constant number of
statements. Refusals of the network service reach the caller as they are; ``servers/networks.py`` words them
as Nova does.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, or_, select

from pileus.core.context import Context
from pileus.services.network.service import (
    NETWORK,
    PORT,
    SECURITY_GROUP,
    SUBNET,
    NetworkConfig,
    agents,
    default_groups,
    ip_allocations,
    new_port,
    port_create,
    port_delete,
    port_update,
)
from pileus.store.tx import Tx
from pileus.web.among import among
from pileus.web.resource import Update, Values
from pileus.web.view import fetch

HYPERVISOR_AGENT = "Hypervisor agent"
"""How the agent that has a host's machines calls itself in its reports."""

OWNER_PREFIX = "compute:"

__all__ = [
    "HYPERVISOR_AGENT",
    "OWNER_PREFIX",
    "Heartbeat",
    "NetworkConfig",
    "default_groups",
    "groups_named",
    "heartbeats",
    "networks_of",
    "networks_visible",
    "new_port",
    "port_create",
    "port_delete",
    "port_of_address",
    "port_update",
    "ports_by_id",
    "ports_of_servers",
    "subnets_of",
]


class Heartbeat(NamedTuple):
    """What a host's hypervisor agent last said of itself."""

    at: dt.datetime
    zone: str | None
    address: str | None


def heartbeats(tx: Tx) -> dict[str, Heartbeat]:
    """The hosts' hypervisor agents by host, and the underlay address that the host's switch agent named."""
    found: dict[str, Heartbeat] = {}
    addresses: dict[str, str] = {}
    columns = agents.c
    for row in tx.rows(
        select(
            columns.host,
            columns.agent_type,
            columns.heartbeat_timestamp,
            columns.availability_zone,
            columns.tunneling_ip,
        )
    ):
        if row.tunneling_ip:
            addresses[row.host] = row.tunneling_ip
        if row.agent_type == HYPERVISOR_AGENT:
            found[row.host] = Heartbeat(row.heartbeat_timestamp, row.availability_zone, None)
    return {host: one._replace(address=addresses.get(host)) for host, one in found.items()}


def networks_visible(tx: Tx, context: Context, asked: Collection[str] | None = None) -> list[Values]:
    """Networks that the caller may plug servers into: his own and shared ones, or those of ``asked``.

    Without ``asked``: the networks that a server is plugged into when nobody says which, so no external
    ones. In order of creation.
    """
    table = NETWORK.columns
    own = table["project_id"] == (context.project_id or "")
    admin = context.is_admin or "admin" in context.roles
    if asked is None:
        where = [or_(own, and_(table["shared"], ~table["router:external"]))]
    else:
        where = [] if admin else [or_(own, table["shared"], table["router:external"])]
    found = fetch(tx, NETWORK, None if asked is None else sorted(asked), where)
    return sorted(found, key=lambda one: (one["created_at"], one["id"]))


def networks_of(tx: Tx, network_ids: Collection[str]) -> dict[str, Values]:
    """Networks by id, whoever's they are."""
    if not network_ids:
        return {}
    return {one["id"]: one for one in fetch(tx, NETWORK, sorted(network_ids))}


def subnets_of(tx: Tx, network_ids: Collection[str]) -> list[Values]:
    """The subnets of networks."""
    if not network_ids:
        return []
    return fetch(tx, SUBNET, None, [SUBNET.columns["network_id"].in_(sorted(network_ids))])


def ports_by_id(tx: Tx, port_ids: Sequence[str], *, lock: bool = False) -> dict[str, Values]:
    """Ports by id, whoever's they are."""
    if not port_ids:
        return {}
    if lock:
        _hold(tx, sorted(set(port_ids)))
    return {one["id"]: one for one in fetch(tx, PORT, sorted(set(port_ids)))}


def _hold(tx: Tx, port_ids: Sequence[str]) -> None:
    """Hold the rows of ports; on SQLite there is one writer anyway."""
    if tx.dialect != "sqlite":
        column = PORT.columns["id"]
        tx.rows(select(column).where(among(tx, column, port_ids)).order_by(column).with_for_update())


def ports_of_servers(tx: Tx, server_ids: Sequence[str]) -> list[Values]:
    """All ports whose device is one of these servers; one statement and those of the port's loaders."""
    if not server_ids:
        return []
    column = PORT.columns["device_id"]
    owner = PORT.columns["device_owner"].like(f"{OWNER_PREFIX}%")
    return fetch(tx, PORT, None, [among(tx, column, list(server_ids)), owner])


def groups_named(tx: Tx, context: Context, names: Collection[str]) -> list[Values]:
    """The project's security groups of these names or ids."""
    if not names:
        return []
    columns = SECURITY_GROUP.columns
    where = [or_(columns["name"].in_(sorted(names)), columns["id"].in_(sorted(names)))]
    where.append(columns["project_id"] == (context.project_id or ""))
    return fetch(tx, SECURITY_GROUP, None, where)


_PORT = PORT.columns
_BY_ADDRESS = select(ip_allocations.c.port_id).where(
    ip_allocations.c.ip_address == bindparam("address"),
    ip_allocations.c.port_id == _PORT["id"],
    _PORT["network_id"].in_(bindparam("networks", expanding=True)),
)
_ROUTER_NETWORKS = select(_PORT["network_id"]).where(
    _PORT["device_id"] == bindparam("router"),
    _PORT["device_owner"].like("network:router_interface%"),
)


def port_of_address(tx: Tx, address: str, network_id: str | None, router_id: str | None) -> Values | None:
    """The port that has an address on a network, or on one of the networks behind a router."""
    if network_id is not None:
        networks = [network_id]
    else:
        networks = sorted({row.network_id for row in tx.rows(_ROUTER_NETWORKS, {"router": router_id})})
    if not networks:
        return None
    rows = tx.rows(_BY_ADDRESS, {"address": address, "networks": networks})
    if len(rows) != 1:  # two networks behind a router can't share an address; better nobody's than another's
        return None
    found = fetch(tx, PORT, [rows[0].port_id])
    return found[0] if found else None


def as_update(port: Values, **changes: Any) -> Update:
    """A change of a port as ``port_update`` takes it."""
    return Update(port, Values({name.replace("__", ":"): value for name, value in changes.items()}))
