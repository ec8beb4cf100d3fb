"""Distributed routers in the desired state of a node's switch: two statements, more only where there are
any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, Row, Select, String, and_, bindparam, exists, or_, select

from pileus.services.network.agents.distributed import routers_of
from pileus.services.network.agents.floating_hosts import (
    IN_FORCE,
    fixed,
    may_be_translated,
    on_hosts,
    with_gateways,
)
from pileus.services.network.agents.metering_state import labels_of_routers
from pileus.services.network.floating_ips.tables import (
    floating_ip_gateways,
    floating_ip_hosts,
    floating_ips,
)
from pileus.services.network.metering.tables import metering_label_rules
from pileus.services.network.ports.tables import ports
from pileus.services.network.routers.tables import dvr_host_macs, router_ports, routers
from pileus.services.network.rules import device_owners, macs
from pileus.services.network.subnets.tables import subnets
from pileus.store.tx import Tx
from pileus.wire.dhcp import HostRoute
from pileus.wire.distributed import (
    AdvertisedSubnet,
    DistributedFloatingIp,
    DistributedInterface,
    DistributedRouter,
    HostGateway,
    OuterSubnet,
    RoutingMac,
)
from pileus.wire.l3 import MeteringLabel


def distributed_statement(networks: Select[Any], host: BindParameter[str]) -> Select[Any]:
    """Ports of the distributed routers that have an interface on one of some networks."""
    return (
        select(
            router_ports.c.router_id,
            router_ports.c.port_type,
            routers.c.routes,
            routers.c.project_id,
            ports.c.network_id,
            ports.c.mac_address,
            ports.c.fixed_ips,
        )
        .select_from(
            router_ports.join(ports, ports.c.id == router_ports.c.port_id).join(
                routers, routers.c.id == router_ports.c.router_id
            )
        )
        .where(
            router_ports.c.port_type.in_((*device_owners.INTERFACES, device_owners.CENTRAL_SNAT)),
            router_ports.c.router_id.in_(routers_of(networks, host)),
        )
        .order_by(router_ports.c.router_id, ports.c.id)
    )


class HostRouting(NamedTuple):
    """All that a host's switch must know of distributed routers."""

    routers: tuple[DistributedRouter, ...] = ()
    floating_ips: tuple[DistributedFloatingIp, ...] = ()
    gateways: tuple[HostGateway, ...] = ()
    mac: RoutingMac | None = None


_SUBNETS = select(
    subnets.c.id,
    subnets.c.network_id,
    subnets.c.cidr,
    subnets.c.gateway_ip,
    subnets.c.ipv6_ra_mode,
    subnets.c.dns_nameservers,
).where(subnets.c.network_id.in_(bindparam("networks", expanding=True)))
_ON_HOST = fixed.c.host == bindparam("on_host", type_=String)
_FLOATING_IPS = (
    select(
        floating_ips.c.id,
        floating_ips.c.floating_ip_address,
        floating_ips.c.fixed_ip_address,
        floating_ips.c.floating_network_id,
        floating_ips.c.fixed_port_id,
        floating_ips.c.router_id,
        floating_ip_hosts.c.host,
        may_be_translated().label("is_wanted"),
        exists(select(metering_label_rules.c.id)).label("is_metered"),
    )
    .select_from(
        with_gateways(on_hosts()).outerjoin(
            floating_ip_hosts, and_(IN_FORCE, floating_ip_hosts.c.host == fixed.c.host)
        )
    )
    .where(_ON_HOST, or_(may_be_translated(), floating_ip_hosts.c.host.is_not(None)))
    .order_by(floating_ips.c.id)
)
_GATEWAYS = (
    select(ports.c.id, ports.c.network_id, ports.c.mac_address, ports.c.fixed_ips)
    .select_from(floating_ip_gateways.join(ports, ports.c.id == floating_ip_gateways.c.port_id))
    .where(floating_ip_gateways.c.host == bindparam("on_host", type_=String))
    .order_by(ports.c.id)
)


_MAC = select(dvr_host_macs.c.mac_address).where(dvr_host_macs.c.host == bindparam("on_host", type_=String))


def host_routing(tx: Tx, statement: Select[Any], here: Mapping[str, Any], dvr_base_mac: str) -> HostRouting:
    """Read what concerns a host; one statement where no router does."""
    found: dict[str, list[Row[Any]]] = {}
    for row in tx.rows(statement, here):
        found.setdefault(row.router_id, []).append(row)
    if not found:
        return HostRouting()
    floating = tx.rows(_FLOATING_IPS, here)
    outside = tx.rows(_GATEWAYS, here) if floating else []
    concerned = {row.network_id for rows in found.values() for row in rows}
    concerned |= {row.network_id for row in outside}
    prefixes = tx.rows(_SUBNETS, {"networks": sorted(concerned)})
    known = {row.id: row for row in prefixes}
    labels: Mapping[str, tuple[MeteringLabel, ...]] = {}
    if any(row.is_metered for row in floating):
        translating = {row.router_id for row in floating}
        projects = {key: rows[0].project_id for key, rows in found.items() if key in translating}
        labels = labels_of_routers(tx, projects)
    return HostRouting(
        routers=tuple(
            _router(router_id, rows, known, labels.get(router_id, ())) for router_id, rows in found.items()
        ),
        floating_ips=tuple(
            DistributedFloatingIp(
                floating_ip_id=row.id,
                floating_ip_address=row.floating_ip_address,
                fixed_ip_address=row.fixed_ip_address,
                network_id=row.floating_network_id,
                port_id=row.fixed_port_id,
                router_id=row.router_id,
                in_force=row.host is not None,
                leaving=not row.is_wanted,
            )
            for row in floating
        ),
        gateways=tuple(_gateway(row, prefixes) for row in outside),
        mac=next(
            (
                RoutingMac(row.mac_address, dvr_base_mac, macs.mask(dvr_base_mac))
                for row in tx.rows(_MAC, here)
            ),
            None,
        ),
    )


def _gateway(port: Row[Any], prefixes: Sequence[Row[Any]]) -> HostGateway:
    return HostGateway(
        port_id=port.id,
        network_id=port.network_id,
        mac_address=port.mac_address,
        ip_addresses=tuple(ip["ip_address"] for ip in port.fixed_ips),
        subnets=tuple(
            OuterSubnet(row.cidr, row.gateway_ip) for row in prefixes if row.network_id == port.network_id
        ),
    )


def _router(
    router_id: str,
    rows: list[Row[Any]],
    known: Mapping[str, Row[Any]],
    labels: tuple[MeteringLabel, ...],
) -> DistributedRouter:
    central: dict[str, str] = {}
    for row in rows:
        if row.port_type == device_owners.CENTRAL_SNAT:
            central.setdefault(row.network_id, row.mac_address)
    return DistributedRouter(
        router_id=router_id,
        interfaces=tuple(
            _interface(row, central.get(row.network_id), known)
            for row in rows
            if row.port_type in device_owners.INTERFACES
        ),
        routes=tuple(
            HostRoute(destination=one["destination"], nexthop=one["nexthop"]) for one in rows[0].routes
        ),
        metering_labels=labels,
    )


def _interface(
    port: Row[Any], central_mac: str | None, known: Mapping[str, Row[Any]]
) -> DistributedInterface:
    own = [known[ip["subnet_id"]] for ip in port.fixed_ips if ip["subnet_id"] in known]
    return DistributedInterface(
        network_id=port.network_id,
        mac_address=port.mac_address,
        ip_addresses=tuple(ip["ip_address"] for ip in port.fixed_ips),
        central_mac=central_mac,
        cidrs=tuple(subnet.cidr for subnet in own),
        advertised=tuple(
            AdvertisedSubnet(subnet.cidr, subnet.ipv6_ra_mode, tuple(subnet.dns_nameservers))
            for subnet in own
            if subnet.ipv6_ra_mode and ":" in subnet.cidr
        ),
    )
