"""The things of the network that a host serves: its agents may listen to them, ask for and report them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable
from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, Executable, String, bindparam, or_, select, union

from pileus.services.network.agents.distributed import networks_beyond
from pileus.services.network.agents.hosting import hosted, routers_of
from pileus.services.network.agents.replicas import replicas_on
from pileus.services.network.agents.tables import agents
from pileus.services.network.dhcp.tables import dhcp_bindings
from pileus.services.network.l2_gateways.tables import (
    l2_gateway_connections,
    l2_gateway_ports,
    physical_switches,
)
from pileus.services.network.ports.tables import ports
from pileus.services.network.routers.tables import router_bindings, router_ports
from pileus.services.network.rules.agent_types import DHCP_AGENT, GATEWAY_AGENT, L3_AGENT, ROUTING_AGENTS
from pileus.services.network.security_groups.tables import security_group_ports, security_group_rules
from pileus.store.column_in import listed
from pileus.store.tx import Tx
from pileus.wire import scopes


def served_scopes(tx: Tx, host: str, wanted: Iterable[str]) -> set[str]:
    """Those of the scopes that a host's agents serve or are scheduled for: a statement a kind, at most."""
    ids: dict[str, list[str]] = {}
    for scope in wanted:
        kind, key = scopes.split(scope)
        ids.setdefault(kind, []).append(key)
    found = {scopes.tunnels()} if "tunnels" in ids else set()
    for kind in scopes.OF_ONE_HOST & ids.keys():
        found |= {f"{kind}:{host}"} if host in ids[kind] else set()
    for kind, served in (
        ("port", ports_served),
        ("network", networks_served),
        ("security_group", groups_served),
        ("address_group", address_groups_served),
        ("dhcp_network", dhcp_networks_served),
        ("router", routers_served),
    ):
        if kind in ids:
            found |= {f"{kind}:{key}" for key in served(tx, host, ids[kind])}
    return found


def ports_served(tx: Tx, host: str, ids: Collection[str]) -> set[str]:
    """Ports that are bound to the host."""
    return _ids(tx, _ports(tx.dialect), host, ids)


def dhcp_networks_served(tx: Tx, host: str, ids: Collection[str]) -> set[str]:
    """Networks that the host's DHCP agent is scheduled for, or that a gateway machine there serves."""
    return _ids(tx, _dhcp_served(tx.dialect), host, ids)


def routers_served(tx: Tx, host: str, ids: Collection[str]) -> set[str]:
    """Routers that the host's L3 agent serves or is scheduled for, or whose machine is there."""
    return _ids(tx, _routers_served(tx.dialect), host, ids)


def networks_served(tx: Tx, host: str, ids: Collection[str]) -> set[str]:
    """Networks with a port on the host, that a distributed router leads to from there, that its DHCP agent or
    one of its routers serves, or that is on a physical switch which it drives."""
    return _ids(tx, _networks(tx.dialect), host, ids)


def groups_served(tx: Tx, host: str, ids: Collection[str]) -> set[str]:
    """Security groups of ports on the host, and those that their rules refer to."""
    return _ids(tx, _groups(tx.dialect), host, ids)


def address_groups_served(tx: Tx, host: str, ids: Collection[str]) -> set[str]:
    """Address groups that rules of ports on the host refer to."""
    return _ids(tx, _address_groups(tx.dialect), host, ids)


def serves_guests_of(tx: Tx, host: str, network_id: str | None, router_id: str | None) -> bool:
    """Whether guests of a network, or behind a router, reach the host's metadata agent."""
    if router_id is not None:
        return bool(tx.rows(_IS_ROUTER_OF, {"on_host": host, "wanted": router_id}))
    if network_id is None:
        return False
    return bool(tx.rows(_IS_DHCP_OF, {"on_host": host, "wanted": network_id}))


_HOST = bindparam("on_host", type_=String)
_IS_ON = or_(ports.c.host == _HOST, ports.c.id.in_(replicas_on(_HOST)))
_GROUPS_HERE = (
    select(security_group_ports.c.security_group_id)
    .select_from(security_group_ports.join(ports, ports.c.id == security_group_ports.c.port_id))
    .where(ports.c.host == _HOST)
)
_DHCP_NETWORKS = (
    select(dhcp_bindings.c.network_id)
    .select_from(dhcp_bindings.join(agents, agents.c.id == dhcp_bindings.c.agent_id))
    .where(agents.c.host == _HOST, agents.c.agent_type == DHCP_AGENT)
)
_BEHIND_MACHINES = (
    select(ports.c.network_id)
    .select_from(
        ports.join(router_ports, router_ports.c.port_id == ports.c.id)
        .join(router_bindings, router_bindings.c.router_id == router_ports.c.router_id)
        .join(agents, agents.c.id == router_bindings.c.agent_id)
    )
    .where(agents.c.host == _HOST, agents.c.agent_type == GATEWAY_AGENT)
)
_BEHIND_SWITCHES = (
    select(l2_gateway_connections.c.network_id)
    .select_from(
        l2_gateway_connections.join(
            l2_gateway_ports, l2_gateway_ports.c.l2_gateway_id == l2_gateway_connections.c.l2_gateway_id
        ).join(physical_switches, physical_switches.c.name == l2_gateway_ports.c.device_name)
    )
    .where(physical_switches.c.host == _HOST)
)


def _routers(
    agent_types: Collection[str], among: Callable[[ColumnElement[Any]], ColumnElement[bool]]
) -> CompoundSelect[Any]:
    return union(*(one.where(among(one.selected_columns[0])) for one in routers_of(_HOST, agent_types)))


_IS_ROUTER_OF = _routers((L3_AGENT,), lambda router_id: router_id == bindparam("wanted"))
_IS_DHCP_OF = _DHCP_NETWORKS.where(dhcp_bindings.c.network_id == bindparam("wanted"))
_BEHIND_ROUTERS = (
    select(ports.c.network_id)
    .select_from(ports.join(router_ports, router_ports.c.port_id == ports.c.id))
    .where(router_ports.c.router_id.in_(hosted(_HOST, ROUTING_AGENTS)))
)


# Asked at each stream that an agent opens: made once for each dialect, not for each question.
@functools.cache
def _ports(dialect: str) -> Executable:
    return select(ports.c.id).where(_wanted(dialect, ports.c.id), _IS_ON)


@functools.cache
def _dhcp_served(dialect: str) -> Executable:
    return union(
        _DHCP_NETWORKS.where(_wanted(dialect, dhcp_bindings.c.network_id)),
        _BEHIND_MACHINES.where(_wanted(dialect, ports.c.network_id)),
    )


@functools.cache
def _routers_served(dialect: str) -> Executable:
    return _routers(ROUTING_AGENTS, lambda router_id: _wanted(dialect, router_id))


@functools.cache
def _networks(dialect: str) -> Executable:
    beyond = networks_beyond(select(ports.c.network_id).where(_IS_ON), _HOST)
    return union(
        select(ports.c.network_id).where(_wanted(dialect, ports.c.network_id), _IS_ON),
        _DHCP_NETWORKS.where(_wanted(dialect, dhcp_bindings.c.network_id)),
        beyond.where(_wanted(dialect, beyond.selected_columns[0])),
        _BEHIND_SWITCHES.where(_wanted(dialect, l2_gateway_connections.c.network_id)),
        _BEHIND_ROUTERS.where(_wanted(dialect, ports.c.network_id)),
    )


@functools.cache
def _groups(dialect: str) -> Executable:
    remote = security_group_rules.c.remote_group_id
    return union(
        _GROUPS_HERE.where(_wanted(dialect, security_group_ports.c.security_group_id)),
        select(remote).where(
            _wanted(dialect, remote), security_group_rules.c.security_group_id.in_(_GROUPS_HERE)
        ),
    )


@functools.cache
def _address_groups(dialect: str) -> Executable:
    remote = security_group_rules.c.remote_address_group_id
    return select(remote).where(
        _wanted(dialect, remote), security_group_rules.c.security_group_id.in_(_GROUPS_HERE)
    )


def _wanted(dialect: str, column: ColumnElement[Any]) -> ColumnElement[bool]:
    return listed(dialect, column, "wanted")


def _ids(tx: Tx, statement: Executable, host: str, ids: Collection[str]) -> set[str]:
    return {row[0] for row in tx.rows(statement, {"on_host": host, "wanted": sorted(ids)})}
