"""The network service as compute uses it, gathered in one place.

Everything here runs inside the caller's transaction, takes many at once, and sends a constant number of
statements. Refusals of the network service reach the caller as they are; ``servers/networks.py`` words them
as Nova does.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import and_, bindparam, or_, select

from pileus.core.context import Context
from pileus.resource.access import Access
from pileus.resource.declaration import Update, Values
from pileus.resource.listing import LARGEST
from pileus.resource.quota import UNLIMITED, quota_read, quota_usage
from pileus.resource.rows import fetch
from pileus.services.compute.policy import is_admin
from pileus.services.network.floating_ips.tables import floating_ips
from pileus.services.network.gateway_machines.reading import (
    KnownMachine,
    WantedMachine,
    machines_known,
    machines_wanted,
)
from pileus.services.network.gateway_machines.work import BUILD as MACHINE_BUILD
from pileus.services.network.gateway_machines.work import ERROR as MACHINE_ERROR
from pileus.services.network.gateway_machines.work import (
    machine_forget,
    machine_place,
    machine_status,
    machine_write,
)
from pileus.services.network.port_bindings.work import (
    PortBindingNotFound,
    binding_activate,
    binding_create,
    binding_delete,
)
from pileus.services.network.ports.refusals import bindings_refused
from pileus.services.network.qos.guarantees import (
    TUNNELLED,
    guarantees_asked,
    guarantees_carried,
    guarantees_left,
    guarantees_of_ports,
)
from pileus.services.network.qos.tables import policies
from pileus.services.network.routers.tables import router_ports
from pileus.services.network.rules import device_owners
from pileus.services.network.rules.addresses import is_automatic, may_have
from pileus.services.network.rules.device_owners import is_trusted
from pileus.services.network.service import (
    NETWORK,
    PORT,
    PORT_QUOTA,
    SECURITY_GROUP,
    SUBNET,
    NetworkConfig,
    agents,
    default_groups,
    ip_allocations,
    is_host_name,
    new_port,
    port_create,
    port_delete,
    port_update,
    serves_guests_of,
)
from pileus.services.network.service import served_scopes as network_scopes_served
from pileus.services.network.sharing.targets import QOS_POLICIES, caller_of, shared_to
from pileus.store.column_in import column_in
from pileus.store.narrowed import narrowed
from pileus.store.tx import Tx

__all__ = [
    "MACHINE_BUILD",
    "MACHINE_ERROR",
    "TUNNELLED",
    "KnownMachine",
    "NetworkConfig",
    "PortBindingNotFound",
    "WantedMachine",
    "addresses_of",
    "addresses_taken",
    "as_update",
    "binding_activate",
    "binding_create",
    "binding_delete",
    "bindings_refused",
    "default_groups",
    "floating_ips_of",
    "group_names",
    "groups_by_id",
    "groups_named",
    "guarantees_asked",
    "guarantees_carried",
    "guarantees_left",
    "guarantees_of_ports",
    "host_addresses",
    "ip_allocations",
    "is_automatic",
    "is_host_name",
    "is_networks_own",
    "machine_forget",
    "machine_place",
    "machine_status",
    "machine_write",
    "machines_known",
    "machines_wanted",
    "may_have",
    "network_scopes_served",
    "networks_of",
    "networks_visible",
    "new_port",
    "port_create",
    "port_delete",
    "port_of_address",
    "port_update",
    "ports_by_id",
    "ports_free",
    "qos_policy_usable",
    "serves_guests_of",
    "subnets_of",
]


def host_addresses(tx: Tx) -> dict[str, str]:
    """The underlay addresses that the hosts' switch agents named, by host."""
    columns = agents.c
    rows = tx.rows(select(columns.host, columns.tunneling_ip).where(columns.tunneling_ip.is_not(None)))
    return {row.host: row.tunneling_ip for row in rows}


def networks_visible(tx: Tx, access: Access, asked: Collection[str] | None = None) -> list[Values]:
    """Networks that the caller may plug servers into: his own and shared ones, or those of ``asked``.

    Without ``asked``: the networks that a server is plugged into when nobody says which, so no external
    ones. In order of creation.
    """
    table = NETWORK.columns
    own = table["project_id"] == (access.context.project_id or "")
    if asked is None:
        where = [or_(own, and_(table["shared"], ~table["router:external"]))]
    else:
        where = [] if is_admin(access) else [or_(own, table["shared"], table["router:external"])]
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
        tx.rows(select(column).where(column_in(tx, column, port_ids)).order_by(column).with_for_update())


def groups_named(tx: Tx, context: Context, names: Collection[str]) -> list[Values]:
    """The project's security groups of these names or ids."""
    if not names:
        return []
    columns = SECURITY_GROUP.columns
    where = [or_(columns["name"].in_(sorted(names)), columns["id"].in_(sorted(names)))]
    where.append(columns["project_id"] == (context.project_id or ""))
    return fetch(tx, SECURITY_GROUP, None, where)


def ports_free(tx: Tx, project_id: str) -> int:
    """Count the ports that a project may still have; a large number where nothing limits it."""
    limit = quota_read(tx, [project_id], [PORT_QUOTA])[project_id][PORT_QUOTA.resource]
    if limit == UNLIMITED:
        return LARGEST
    return max(0, limit - quota_usage(tx, project_id, [PORT_QUOTA])[PORT_QUOTA.resource])


def qos_policy_usable(tx: Tx, access: Access, policy_id: str) -> bool:
    """Whether there is such a QoS policy, and the caller may use it."""
    mine = or_(
        policies.c.project_id == (access.context.project_id or ""),
        shared_to(QOS_POLICIES, caller_of(access.context)),
    )
    found = select(policies.c.id).where(policies.c.id == policy_id)
    return tx.first(found if is_admin(access) else found.where(mine)) is not None


def addresses_taken(tx: Tx, wanted: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Find those of some (network, address) that a port has already, and that port's device."""
    if not wanted:
        return {}
    c = ip_allocations.c
    rows = tx.rows(
        select(_PORT["network_id"], c.ip_address, _PORT["device_id"]).where(
            _PORT["id"] == c.port_id,
            c.ip_address.in_(sorted({address for _, address in wanted})),
            _PORT["network_id"].in_(sorted({network_id for network_id, _ in wanted})),
        )
    )
    found = {(row.network_id, row.ip_address): row.device_id for row in rows}
    return {pair: found[pair] for pair in wanted if pair in found}


_PORT = PORT.columns
_BY_ADDRESS = select(ip_allocations.c.port_id).where(ip_allocations.c.ip_address == bindparam("address"))
_ON_NETWORK = _BY_ADDRESS.where(
    ip_allocations.c.port_id == _PORT["id"], _PORT["network_id"] == bindparam("network")
)
_routers_own = ip_allocations.alias("routers_own")
# The subnets that a router is on, and no others of their networks: those never share an address.
_BEHIND_ROUTER = _BY_ADDRESS.where(
    ip_allocations.c.subnet_id.in_(
        select(_routers_own.c.subnet_id)
        .select_from(router_ports.join(_routers_own, _routers_own.c.port_id == router_ports.c.port_id))
        .where(
            router_ports.c.router_id == bindparam("router"),
            router_ports.c.port_type.in_(device_owners.INTERFACES),
        )
    )
)


def port_of_address(tx: Tx, address: str, network_id: str | None, router_id: str | None) -> Values | None:
    """The port that has an address on a network, or on one of the subnets that a router is on."""
    if network_id is not None:
        rows = tx.rows(_ON_NETWORK, {"address": address, "network": network_id})
    else:
        rows = tx.rows(_BEHIND_ROUTER, {"address": address, "router": router_id})
    if len(rows) != 1:  # better nobody's than another's
        return None
    found = fetch(tx, PORT, [rows[0].port_id])
    return found[0] if found else None


def is_networks_own(port: Values) -> bool:
    """Whether a port is meanwhile the network's own (a router's, say), whatever it was once made for."""
    return is_trusted(port["device_owner"])


def as_update(port: Values, **changes: Any) -> Update:
    """A change of a port as ``port_update`` takes it."""
    return Update(port, Values({name.replace("__", ":"): value for name, value in changes.items()}))


_group, _floating = SECURITY_GROUP.columns, floating_ips.c
_GROUP_NAMES = narrowed(select(_group["id"], _group["name"]), _group["id"])
_FLOATING_IPS = narrowed(
    select(_floating.fixed_port_id, _floating.fixed_ip_address, _floating.floating_ip_address),
    _floating.fixed_port_id,
)


def group_names(tx: Tx, group_ids: Collection[str]) -> dict[str, str]:
    """Names of security groups by id."""
    if not group_ids:
        return {}
    return {row.id: row.name for row in _GROUP_NAMES.rows(tx, {}, sorted(group_ids))}


def floating_ips_of(tx: Tx, port_ids: Collection[str]) -> dict[str, dict[str, list[str]]]:
    """For each port, the floating addresses that lead to each of its fixed ones."""
    if not port_ids:
        return {}
    found: dict[str, dict[str, list[str]]] = {}
    for row in _FLOATING_IPS.rows(tx, {}, sorted(port_ids)):
        found.setdefault(row.fixed_port_id, {}).setdefault(row.fixed_ip_address, []).append(
            row.floating_ip_address
        )
    return found


def addresses_of(tx: Tx, port_ids: Collection[str]) -> dict[str, list[str]]:
    """The fixed addresses of ports, by port."""
    found: dict[str, list[str]] = {}
    if port_ids:
        c = ip_allocations.c
        for row in tx.rows(select(c.port_id, c.ip_address).where(column_in(tx, c.port_id, sorted(port_ids)))):
            found.setdefault(row.port_id, []).append(row.ip_address)
    return found


def groups_by_id(tx: Tx, group_ids: Collection[str]) -> list[Values]:
    """Security groups with their rules, by name."""
    if not group_ids:
        return []
    return sorted(fetch(tx, SECURITY_GROUP, sorted(group_ids)), key=lambda one: (one["name"], one["id"]))
