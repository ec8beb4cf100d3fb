"""The desired state of a node's gateway machines: the answer to ``GATEWAY_STATE``.

What a machine routes is told as an L3 agent is told it; to whom it gives addresses, as a DHCP agent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Row, bindparam, select

from pileus.services.network.agents.tables import agents
from pileus.services.network.config import NetworkConfig
from pileus.services.network.dhcp.state import dhcp_hosts, dhcp_statements
from pileus.services.network.gateway_machines.tables import gateway_machines
from pileus.services.network.ports.dhcp_state import dhcp_subnet
from pileus.services.network.ports.tables import ports
from pileus.services.network.routers.state import l3_state
from pileus.services.network.routers.tables import router_bindings, router_ports
from pileus.services.network.rules import device_owners
from pileus.services.network.rules.agent_types import GATEWAY_AGENT
from pileus.services.network.rules.names import GUESTS_DOMAIN
from pileus.store.tx import Tx
from pileus.wire.dhcp import DhcpNetwork, DhcpSubnet, HostRoute
from pileus.wire.gateway import GatewayMachine, GatewayState, GatewayStateRequest
from pileus.wire.l3 import L3StateRequest, RouterPort

_METADATA = "169.254.169.254/32"
_HERE = (
    select(router_bindings.c.router_id)
    .select_from(router_bindings.join(agents, agents.c.id == router_bindings.c.agent_id))
    .where(agents.c.host == bindparam("on_host"), agents.c.agent_type == GATEWAY_AGENT)
)
_SERVERS = select(gateway_machines.c.router_id, gateway_machines.c.server_id).where(
    gateway_machines.c.router_id.in_(_HERE), gateway_machines.c.server_id.is_not(None)
)
_SERVED = dhcp_statements(
    select(ports.c.network_id)
    .select_from(ports.join(router_ports, router_ports.c.port_id == ports.c.id))
    .where(
        router_ports.c.router_id.in_(bindparam("routers", expanding=True)),
        router_ports.c.port_type == device_owners.ROUTER_INTERFACE,
    )
)


def gateway_state(tx: Tx, request: GatewayStateRequest, *, config: NetworkConfig) -> GatewayState:
    """Read the answer: what an L3 agent's takes, and four statements."""
    asked = L3StateRequest(request.host, request.routers)
    routed = l3_state(tx, asked, config=config, agent_type=GATEWAY_AGENT)
    lease_s = config.dhcp_lease_time_s
    if not routed.routers:
        return GatewayState(routed.position, lease_time_s=lease_s)
    servers = {row.router_id: row.server_id for row in tx.rows(_SERVERS, {"on_host": request.host})}
    some = {"routers": [router.router_id for router in routed.routers]}
    nets = {row.id: row for row in tx.rows(_SERVED.networks, some)}
    on_them = _grouped(tx.rows(_SERVED.ports, some))
    prefixes = _grouped(tx.rows(_SERVED.subnets, some))
    return GatewayState(
        routed.position,
        tuple(
            GatewayMachine(
                servers[router.router_id],
                router,
                tuple(
                    _served(port, nets[port.network_id], on_them, prefixes)
                    for port in router.interfaces
                    if port.network_id in nets
                ),
            )
            for router in routed.routers
            if router.router_id in servers
        ),
        lease_s,
    )


def _grouped(rows: Iterable[Row[Any]]) -> dict[str, list[Row[Any]]]:
    found: dict[str, list[Row[Any]]] = {}
    for row in rows:
        found.setdefault(row.network_id, []).append(row)
    return found


def _served(
    port: RouterPort,
    net: Row[Any],
    on_them: dict[str, list[Row[Any]]],
    prefixes: dict[str, list[Row[Any]]],
) -> DhcpNetwork:
    """A network as the machine serves it at one of its ports."""
    on_it = on_them.get(net.id, [])
    mine = {subnet.subnet_id for subnet in port.subnets}
    far = {row.id for row in prefixes.get(net.id, ())} - mine
    return DhcpNetwork(
        network_id=net.id,
        admin_state_up=net.admin_state_up,
        mtu=port.port.mtu,
        port=port.port,
        subnets=tuple(_subnet(row, on_it) for row in prefixes.get(net.id, ()) if row.id in mine),
        hosts=dhcp_hosts(on_it, net.dns_domain, far),
        dns_domain=GUESTS_DOMAIN,
    )


def _subnet(row: Row[Any], on_it: Sequence[Row[Any]]) -> DhcpSubnet:
    """The subnet, with the way to the metadata service, which a DHCP agent has on the same network."""
    told = dhcp_subnet(row, [row.gateway_ip])
    for one in on_it:
        address = next((ip["ip_address"] for ip in one.fixed_ips if ip["subnet_id"] == row.id), None)
        if one.is_dhcp and address is not None and row.ip_version == 4:
            routes = (*told.host_routes, HostRoute(_METADATA, address))
            return msgspec.structs.replace(told, host_routes=routes)
    return told
