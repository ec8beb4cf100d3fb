"""The things of the network that a host serves: its agents may listen to them, ask for and report them."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import ColumnElement, Select, or_, select, union

from pileus.services.network.agents.distributed import networks_beyond
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
from pileus.store.column_in import column_in
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
    return _ids(tx, select(ports.c.id).where(column_in(tx, ports.c.id, sorted(ids)), _is_on(host)))


def dhcp_networks_served(tx: Tx, host: str, ids: Collection[str]) -> set[str]:
    """Networks that the host's DHCP agent is scheduled for, or that a gateway machine there serves."""
    wanted = sorted(ids)
    return _ids(
        tx,
        union(
            _dhcp_networks(host).where(column_in(tx, dhcp_bindings.c.network_id, wanted)),
            _behind_machines(host).where(column_in(tx, ports.c.network_id, wanted)),
        ),
    )


def routers_served(tx: Tx, host: str, ids: Collection[str]) -> set[str]:
    """Routers that the host's L3 agent is scheduled for, or whose machine is there."""
    return _ids(tx, _routers(host).where(column_in(tx, router_bindings.c.router_id, sorted(ids))))


def networks_served(tx: Tx, host: str, ids: Collection[str]) -> set[str]:
    """Networks with a port on the host, that a distributed router leads to from there, that its DHCP agent or
    one of its routers serves, or that is on a physical switch which it drives."""
    wanted = sorted(ids)
    beyond = networks_beyond(select(ports.c.network_id).where(_is_on(host)), host)
    return _ids(
        tx,
        union(
            select(ports.c.network_id).where(column_in(tx, ports.c.network_id, wanted), _is_on(host)),
            _dhcp_networks(host).where(column_in(tx, dhcp_bindings.c.network_id, wanted)),
            beyond.where(column_in(tx, beyond.selected_columns[0], wanted)),
            select(l2_gateway_connections.c.network_id)
            .select_from(
                l2_gateway_connections.join(
                    l2_gateway_ports,
                    l2_gateway_ports.c.l2_gateway_id == l2_gateway_connections.c.l2_gateway_id,
                ).join(physical_switches, physical_switches.c.name == l2_gateway_ports.c.device_name)
            )
            .where(
                column_in(tx, l2_gateway_connections.c.network_id, wanted), physical_switches.c.host == host
            ),
            select(ports.c.network_id)
            .select_from(ports.join(router_ports, router_ports.c.port_id == ports.c.id))
            .where(column_in(tx, ports.c.network_id, wanted), router_ports.c.router_id.in_(_routers(host))),
        ),
    )


def groups_served(tx: Tx, host: str, ids: Collection[str]) -> set[str]:
    """Security groups of ports on the host, and those that their rules refer to."""
    here = _groups_here(host)
    wanted = sorted(ids)
    remote = security_group_rules.c.remote_group_id
    return _ids(
        tx,
        union(
            here.where(column_in(tx, security_group_ports.c.security_group_id, wanted)),
            select(remote).where(
                column_in(tx, remote, wanted), security_group_rules.c.security_group_id.in_(here)
            ),
        ),
    )


def address_groups_served(tx: Tx, host: str, ids: Collection[str]) -> set[str]:
    """Address groups that rules of ports on the host refer to."""
    remote = security_group_rules.c.remote_address_group_id
    return _ids(
        tx,
        select(remote).where(
            column_in(tx, remote, sorted(ids)),
            security_group_rules.c.security_group_id.in_(_groups_here(host)),
        ),
    )


def serves_guests_of(tx: Tx, host: str, network_id: str | None, router_id: str | None) -> bool:
    """Whether guests of a network, or behind a router, reach the host's metadata agent."""
    if router_id is not None:
        return bool(_ids(tx, _routers(host, (L3_AGENT,)).where(router_bindings.c.router_id == router_id)))
    if network_id is None:
        return False
    return bool(_ids(tx, _dhcp_networks(host).where(dhcp_bindings.c.network_id == network_id)))


def _groups_here(host: str) -> Select[tuple[str]]:
    return (
        select(security_group_ports.c.security_group_id)
        .select_from(security_group_ports.join(ports, ports.c.id == security_group_ports.c.port_id))
        .where(ports.c.host == host)
    )


def _is_on(host: str) -> ColumnElement[bool]:
    return or_(ports.c.host == host, ports.c.id.in_(replicas_on(host)))


def _dhcp_networks(host: str) -> Select[tuple[str]]:
    return (
        select(dhcp_bindings.c.network_id)
        .select_from(dhcp_bindings.join(agents, agents.c.id == dhcp_bindings.c.agent_id))
        .where(agents.c.host == host, agents.c.agent_type == DHCP_AGENT)
    )


def _behind_machines(host: str) -> Select[tuple[str]]:
    return (
        select(ports.c.network_id)
        .select_from(
            ports.join(router_ports, router_ports.c.port_id == ports.c.id)
            .join(router_bindings, router_bindings.c.router_id == router_ports.c.router_id)
            .join(agents, agents.c.id == router_bindings.c.agent_id)
        )
        .where(agents.c.host == host, agents.c.agent_type == GATEWAY_AGENT)
    )


def _routers(host: str, agent_types: Collection[str] = ROUTING_AGENTS) -> Select[tuple[str]]:
    return (
        select(router_bindings.c.router_id)
        .select_from(router_bindings.join(agents, agents.c.id == router_bindings.c.agent_id))
        .where(agents.c.host == host, agents.c.agent_type.in_(agent_types))
    )


def _ids(tx: Tx, statement: object) -> set[str]:
    return {row[0] for row in tx.rows(statement)}  # type: ignore[arg-type]
