"""The desired state of a node's DHCP: the answer to ``DHCP_STATE``.

One transaction, a constant number of statements whatever the number of networks and ports. As
in ``switch_state``, the position is read first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row, Select, bindparam, select

from pileus.services.network.agents.tables import agents
from pileus.services.network.config import NetworkConfig
from pileus.services.network.dhcp.tables import dhcp_bindings, dhcp_ports
from pileus.services.network.floating_ips.tables import floating_ips
from pileus.services.network.networks.tables import networks
from pileus.services.network.ports.dhcp_state import (
    SUBNET_COLUMNS,
    dhcp_subnet,
    options_of,
)
from pileus.services.network.ports.tables import ports
from pileus.services.network.routers.tables import router_ports, routers
from pileus.services.network.rules import device_owners
from pileus.services.network.rules.addresses import PROVISIONAL
from pileus.services.network.rules.agent_types import DHCP_AGENT, LINUX_BRIDGE_AGENT
from pileus.services.network.rules.names import GUESTS_DOMAIN, domain_for, host_name
from pileus.services.network.rules.segments import mtu_on_node
from pileus.services.network.subnets.tables import subnets
from pileus.store.events import newest_position
from pileus.store.narrowed import narrowed
from pileus.store.tx import Tx
from pileus.wire.dhcp import (
    DhcpHost,
    DhcpNetwork,
    DhcpState,
    DhcpStateRequest,
    PortAddress,
    ServicePort,
)

_SERVED = (
    select(dhcp_bindings.c.network_id)
    .select_from(dhcp_bindings.join(agents, agents.c.id == dhcp_bindings.c.agent_id))
    .where(agents.c.host == bindparam("on_host"), agents.c.agent_type == DHCP_AGENT)
)


class DhcpStatements(NamedTuple):
    """Three statements that read some networks for those who answer DHCP there."""

    networks: Select[Any]
    ports: Select[Any]
    subnets: Select[Any]


def dhcp_statements(served: Select[Any]) -> DhcpStatements:
    """Make them for the networks that a statement selects."""
    of_networks = (
        select(networks.c.id, networks.c.admin_state_up, networks.c.mtu, networks.c.dns_domain)
        .where(networks.c.id.in_(served))
        .order_by(networks.c.id)
    )
    of_ports = (
        select(
            ports.c.id,
            ports.c.network_id,
            ports.c.mac_address,
            ports.c.host,
            ports.c.fixed_ips,
            ports.c.dns_name,
            ports.c.dns_domain,
            ports.c.dns_keywords,
            ports.c.project_id,
            ports.c.extra_dhcp_opts,
            dhcp_ports.c.port_id.is_not(None).label("is_dhcp"),
            router_ports.c.port_type.label("router_port"),
            routers.c.gateway_vm,
            floating_ips.c.id.is_not(None).label("is_floating"),
        )
        .select_from(
            ports.outerjoin(dhcp_ports, dhcp_ports.c.port_id == ports.c.id)
            .outerjoin(router_ports, router_ports.c.port_id == ports.c.id)
            .outerjoin(routers, routers.c.id == router_ports.c.router_id)
            .outerjoin(floating_ips, floating_ips.c.floating_port_id == ports.c.id)
        )
        .where(ports.c.network_id.in_(served))
        .order_by(ports.c.id)
    )
    of_subnets = (
        select(*SUBNET_COLUMNS)
        .where(subnets.c.network_id.in_(served), subnets.c.cidr != PROVISIONAL)
        .order_by(subnets.c.created_at, subnets.c.id)
    )
    return DhcpStatements(of_networks, of_ports, of_subnets)


_HERE = dhcp_statements(_SERVED)
_NETWORKS = narrowed(_HERE.networks, networks.c.id)
_PORTS = narrowed(_HERE.ports, ports.c.network_id)
_SUBNETS = narrowed(_HERE.subnets, subnets.c.network_id)
_WITHOUT_SWITCH = select(agents.c.id).where(agents.c.agent_type == LINUX_BRIDGE_AGENT).limit(1)
"""Agents of guests whose questions no switch brings to an agent."""


def dhcp_state(tx: Tx, request: DhcpStateRequest, config: NetworkConfig) -> DhcpState:
    """Read the answer; four statements, and one more where switches answer guests."""
    position = newest_position(tx)
    here = {"on_host": request.host}
    wanted = request.networks
    if wanted is not None and not wanted:
        return DhcpState(position=position, lease_time_s=config.dhcp_lease_time_s)
    nets = _NETWORKS.rows(tx, here, wanted)
    by_network = _grouped(_PORTS.rows(tx, here, wanted)) if nets else {}
    prefixes = _grouped(_SUBNETS.rows(tx, here, wanted)) if nets else {}
    # While a guest may be on a node of Linux bridges, the agents answer, too.
    switched = config.distributed_dhcp and bool(nets) and tx.first(_WITHOUT_SWITCH) is None
    found = (
        _network(net, by_network.get(net.id, ()), prefixes.get(net.id, ()), request.host, switched)
        for net in nets
    )
    return DhcpState(
        position=position,
        networks=tuple(one for one in found if one is not None),
        lease_time_s=config.dhcp_lease_time_s,
    )


def _grouped(rows: Iterable[Row[Any]]) -> dict[str, list[Row[Any]]]:
    found: dict[str, list[Row[Any]]] = {}
    for row in rows:
        found.setdefault(row.network_id, []).append(row)
    return found


def _network(
    net: Row[Any], on_it: Sequence[Row[Any]], prefixes: Sequence[Row[Any]], host: str, switched: bool
) -> DhcpNetwork | None:
    """The network with its own port on this host; None while it has none, since nothing runs there then."""
    own = next((row for row in on_it if row.is_dhcp and row.host == host), None)
    if own is None:
        return None
    interfaces = [row for row in on_it if row.router_port in device_owners.INTERFACES]
    # A gateway machine has no metadata for its guests: they are sent to this agent for it.
    routed = {ip["ip_address"] for row in interfaces if not row.gateway_vm for ip in row.fixed_ips}
    in_machine = {ip["subnet_id"] for row in interfaces if row.gateway_vm for ip in row.fixed_ips}
    given_there = {row.id for row in prefixes} if switched else set()
    # Of a routed network the guests of this host's segment are served.
    own_subnets = {ip["subnet_id"] for ip in own.fixed_ips}
    here = {row.segment_id for row in prefixes if row.id in own_subnets}
    near = [row for row in prefixes if row.segment_id is None or row.segment_id in here]
    far = {row.id for row in prefixes} - {row.id for row in near}
    return DhcpNetwork(
        network_id=net.id,
        admin_state_up=net.admin_state_up,
        mtu=mtu_on_node(net.mtu),
        port=ServicePort(
            port_id=own.id, mac_address=own.mac_address, addresses=_addresses(own), mtu=mtu_on_node(net.mtu)
        ),
        subnets=tuple(dhcp_subnet(row, routed) for row in near),
        hosts=dhcp_hosts(on_it, net.dns_domain, far),
        dns_domain=GUESTS_DOMAIN,
        elsewhere=tuple(row.id for row in near if row.id in in_machine | given_there),
    )


def dhcp_hosts(on_it: Sequence[Row[Any]], dns_domain: str, far: Collection[str] = ()) -> tuple[DhcpHost, ...]:
    """The ports of a network that have guests who may ask for addresses; none of subnets that are ``far``."""
    return tuple(
        _host(row, far, dns_domain)
        for row in on_it
        if any(ip["subnet_id"] not in far for ip in row.fixed_ips)
        and not (row.is_dhcp or row.router_port or row.is_floating)
    )


def _addresses(port: Row[Any], far: Collection[str] = ()) -> tuple[PortAddress, ...]:
    return tuple(
        PortAddress(ip_address=ip["ip_address"], subnet_id=ip["subnet_id"])
        for ip in port.fixed_ips
        if ip["subnet_id"] not in far
    )


def _host(port: Row[Any], far: Collection[str], network_domain: str) -> DhcpHost:
    return DhcpHost(
        port_id=port.id,
        mac_address=port.mac_address,
        addresses=_addresses(port, far),
        hostname=port.dns_name or host_name(port.fixed_ips),
        domain=(domain_for(dict(port._mapping), network_domain) or "") if port.dns_name else "",
        options=options_of(port.extra_dhcp_opts),
    )
