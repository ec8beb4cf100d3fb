"""DHCP as the switches of guests answer it: a part of ``SWITCH_STATE``, where the cloud is set up so."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, bindparam, or_, select

from pileus.services.network.config import NetworkConfig
from pileus.services.network.dhcp.tables import dhcp_ports
from pileus.services.network.ports.tables import ports
from pileus.services.network.routers.tables import router_ports, routers
from pileus.services.network.rules import device_owners
from pileus.services.network.rules.addresses import PROVISIONAL
from pileus.services.network.rules.names import GUESTS_DOMAIN, host_name
from pileus.services.network.subnets.tables import subnets
from pileus.store.tx import Tx
from pileus.wire.dhcp import DeviceDhcp, DhcpOption, DhcpSubnet, HostRoute, PortAddress, SwitchedDhcp

SUBNET_COLUMNS = (
    subnets.c.id,
    subnets.c.network_id,
    subnets.c.cidr,
    subnets.c.ip_version,
    subnets.c.enable_dhcp,
    subnets.c.gateway_ip,
    subnets.c.dns_nameservers,
    subnets.c.host_routes,
    subnets.c.ipv6_ra_mode,
    subnets.c.ipv6_address_mode,
    subnets.c.segment_id,
)
PORT_COLUMNS = (ports.c.dns_name, ports.c.extra_dhcp_opts)
"""The columns of a port's own part, besides those that its switch must know anyway."""

_SUBNETS = (
    select(*SUBNET_COLUMNS)
    .where(subnets.c.network_id.in_(bindparam("ids", expanding=True)), subnets.c.cidr != PROVISIONAL)
    .order_by(subnets.c.created_at, subnets.c.id)
)
_SERVICE_PORTS = (
    select(
        ports.c.network_id,
        ports.c.mac_address,
        ports.c.fixed_ips,
        dhcp_ports.c.port_id.is_not(None).label("is_dhcp"),
        routers.c.gateway_vm,
    )
    .select_from(
        ports.outerjoin(dhcp_ports, dhcp_ports.c.port_id == ports.c.id)
        .outerjoin(router_ports, router_ports.c.port_id == ports.c.id)
        .outerjoin(routers, routers.c.id == router_ports.c.router_id)
    )
    .where(
        ports.c.network_id.in_(bindparam("ids", expanding=True)),
        or_(dhcp_ports.c.port_id.is_not(None), router_ports.c.port_type.in_(device_owners.INTERFACES)),
    )
    .order_by(ports.c.id)
)


def switched_dhcp(tx: Tx, network_ids: Collection[str], config: NetworkConfig) -> dict[str, SwitchedDhcp]:
    """The DHCP of those networks that have any; two statements for any number."""
    if not network_ids or not config.distributed_dhcp:
        return {}
    ids = {"ids": sorted(network_ids)}
    prefixes = _grouped(tx.rows(_SUBNETS, ids))
    services = _grouped(tx.rows(_SERVICE_PORTS, ids))
    return {
        network_id: _network(several, services.get(network_id, ()), config)
        for network_id, several in prefixes.items()
        if any(row.enable_dhcp for row in several)
    }


def _network(
    prefixes: Sequence[Row[Any]], services: Sequence[Row[Any]], config: NetworkConfig
) -> SwitchedDhcp:
    routed = {
        ip["ip_address"] for row in services if not row.is_dhcp and not row.gateway_vm for ip in row.fixed_ips
    }
    in_machine = {ip["subnet_id"] for row in services if row.gateway_vm for ip in row.fixed_ips}
    own = [row for row in services if row.is_dhcp]
    servers: dict[str, PortAddress] = {}
    # All answers are from one hardware address, so of several ports of DHCP's own the first is the server.
    for ip in own[0].fixed_ips if own else ():
        servers[ip["subnet_id"]] = PortAddress(ip["ip_address"], ip["subnet_id"])
    return SwitchedDhcp(
        subnets=tuple(dhcp_subnet(row, routed) for row in prefixes if row.id not in in_machine),
        servers=tuple(servers.values()),
        mac_address=own[0].mac_address if own else None,
        dns_domain=GUESTS_DOMAIN,
        lease_time_s=config.dhcp_lease_time_s,
    )


def _grouped(rows: Sequence[Row[Any]]) -> dict[str, list[Row[Any]]]:
    found: dict[str, list[Row[Any]]] = {}
    for row in rows:
        found.setdefault(row.network_id, []).append(row)
    return found


def device_dhcp(row: Row[Any]) -> DeviceDhcp | None:
    """Make the part of a port from its name and its options; nobody asks for a service's port."""
    if row.device_owner.startswith("network:"):
        return None
    return DeviceDhcp(
        hostname=row.dns_name or host_name(row.fixed_ips), options=options_of(row.extra_dhcp_opts)
    )


def options_of(extra: Sequence[Mapping[str, Any]]) -> tuple[DhcpOption, ...]:
    """The extra options of a port."""
    return tuple(
        DhcpOption(name=one["opt_name"], value=one["opt_value"], ip_version=one["ip_version"])
        for one in extra
    )


def dhcp_subnet(row: Row[Any], routed: Collection[str]) -> DhcpSubnet:
    """A subnet; ``routed``: the addresses that routers have."""
    return DhcpSubnet(
        subnet_id=row.id,
        cidr=row.cidr,
        ip_version=row.ip_version,
        enable_dhcp=row.enable_dhcp,
        gateway_ip=row.gateway_ip,
        dns_nameservers=tuple(row.dns_nameservers),
        host_routes=tuple(
            HostRoute(destination=one["destination"], nexthop=one["nexthop"]) for one in row.host_routes
        ),
        ipv6_ra_mode=row.ipv6_ra_mode,
        ipv6_address_mode=row.ipv6_address_mode,
        gateway_is_router=row.gateway_ip in routed,
    )
