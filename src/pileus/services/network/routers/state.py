"""The desired state of a node's routers: the answer to ``L3_STATE``.

One transaction, a constant number of statements. As in ``switch_state``, the position is read first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, select

from pileus.services.network.agents.floating_hosts import translated
from pileus.services.network.agents.metering_state import labels_of_routers
from pileus.services.network.config import NetworkConfig
from pileus.services.network.conntrack_helpers.tables import conntrack_helpers
from pileus.services.network.floating_ips.tables import floating_ips
from pileus.services.network.ndp_proxies.tables import ndp_proxies
from pileus.services.network.networks.tables import networks
from pileus.services.network.port_forwardings.tables import port_forwardings
from pileus.services.network.ports.tables import ports
from pileus.services.network.routers.handovers import ENDING, LAST, LINGERS_S, WAITING
from pileus.services.network.routers.hosted import HOSTED
from pileus.services.network.routers.limits import router_limits
from pileus.services.network.routers.tables import (
    ha_vr_ids,
    router_bindings,
    router_handovers,
    router_ports,
    routers,
)
from pileus.services.network.rules import device_owners
from pileus.services.network.rules.addresses import DELEGATED
from pileus.services.network.rules.agent_types import L3_AGENT
from pileus.services.network.rules.forwarding import bounds
from pileus.services.network.rules.segments import mtu_on_node
from pileus.services.network.subnets.tables import subnets
from pileus.store.events import newest_position
from pileus.store.narrowed import Narrowed, narrowed
from pileus.store.tx import Tx
from pileus.wire.dhcp import HostRoute, PortAddress, ServicePort
from pileus.wire.l3 import (
    ConntrackHelper,
    FloatingIP,
    HaDetails,
    L3State,
    L3StateRequest,
    MeteringLabel,
    PortForwarding,
    RouterDetails,
    RouterPort,
    RouterSubnet,
)
from pileus.wire.qos import AddressQos

_ROUTERS = narrowed(
    select(
        routers.c.id,
        routers.c.project_id,
        routers.c.name,
        routers.c.admin_state_up,
        routers.c.enable_snat,
        routers.c.routes,
        routers.c.enable_ndp_proxy,
        routers.c.enable_default_route_ecmp,
        routers.c.enable_default_route_bfd,
        ha_vr_ids.c.vr_id,
        LAST.c.host.label("last_host"),
        router_handovers.c.phase,
        select(router_bindings.c.router_id)
        .where(router_bindings.c.router_id == routers.c.id)
        .exists()
        .label("is_bound"),
    )
    .select_from(
        routers.outerjoin(ha_vr_ids, ha_vr_ids.c.router_id == routers.c.id)
        .outerjoin(router_handovers, router_handovers.c.router_id == routers.c.id)
        .outerjoin(LAST, LAST.c.id == router_handovers.c.agent_id)
    )
    .where(routers.c.id.in_(HOSTED))
    .order_by(routers.c.id),
    routers.c.id,
)
_PORTS = narrowed(
    select(
        router_ports.c.router_id,
        router_ports.c.port_type,
        ports.c.id,
        ports.c.network_id,
        ports.c.mac_address,
        ports.c.fixed_ips,
        ports.c.host,
        networks.c.mtu,
    )
    .select_from(
        router_ports.join(ports, ports.c.id == router_ports.c.port_id).join(
            networks, networks.c.id == ports.c.network_id
        )
    )
    .where(router_ports.c.router_id.in_(HOSTED))
    .order_by(router_ports.c.gateway_index, ports.c.id),
    router_ports.c.router_id,
)
_SUBNETS = Narrowed(
    lambda only: (
        select(
            subnets.c.id,
            subnets.c.network_id,
            subnets.c.cidr,
            subnets.c.gateway_ip,
            subnets.c.ipv6_ra_mode,
            subnets.c.dns_nameservers,
            subnets.c.subnetpool_id,
        )
        .where(
            subnets.c.network_id.in_(
                select(ports.c.network_id)
                .select_from(ports.join(router_ports, router_ports.c.port_id == ports.c.id))
                .where(router_ports.c.router_id.in_(HOSTED), *only(router_ports.c.router_id))
            )
        )
        .order_by(subnets.c.created_at, subnets.c.id)
    )
)
_FLOATING_IPS = narrowed(
    select(
        floating_ips.c.id,
        floating_ips.c.router_id,
        floating_ips.c.floating_ip_address,
        floating_ips.c.fixed_ip_address,
        floating_ips.c.fixed_port_id,
    )
    .where(
        floating_ips.c.router_id.in_(HOSTED),
        floating_ips.c.fixed_ip_address.is_not(None),
        floating_ips.c.id.not_in(translated(floating_ips.c.router_id.in_(HOSTED))),
    )
    .order_by(floating_ips.c.id),
    floating_ips.c.router_id,
)
_PORT_FORWARDINGS = narrowed(
    select(port_forwardings, floating_ips.c.router_id, floating_ips.c.floating_ip_address)
    .select_from(port_forwardings.join(floating_ips, floating_ips.c.id == port_forwardings.c.floatingip_id))
    .where(floating_ips.c.router_id.in_(HOSTED))
    .order_by(port_forwardings.c.id),
    floating_ips.c.router_id,
)
_CONNTRACK_HELPERS = narrowed(
    select(conntrack_helpers)
    .where(conntrack_helpers.c.router_id.in_(HOSTED))
    .order_by(conntrack_helpers.c.id),
    conntrack_helpers.c.router_id,
)
_NDP_PROXIES = narrowed(
    select(ndp_proxies.c.router_id, ndp_proxies.c.ip_address)
    .where(ndp_proxies.c.router_id.in_(HOSTED))
    .order_by(ndp_proxies.c.ip_address),
    ndp_proxies.c.router_id,
)


def l3_state(
    tx: Tx, request: L3StateRequest, *, config: NetworkConfig, agent_type: str = L3_AGENT
) -> L3State:
    """Read the answer; seven statements."""
    position = newest_position(tx)
    wanted = request.routers
    if wanted is not None and not wanted:
        return L3State(position=position)
    here = {"on_host": request.host, "of_type": agent_type}
    found = _ROUTERS.rows(tx, here, wanted)
    if not found:
        return L3State(position=position)
    attached_ports = _by_router(_PORTS.rows(tx, here, wanted))
    prefixes = {row.id: row for row in _SUBNETS.rows(tx, here, wanted)}
    floating = _by_router(_FLOATING_IPS.rows(tx, here, wanted))
    forwarded = _by_router(_PORT_FORWARDINGS.rows(tx, here, wanted))
    limits = router_limits(tx, here, wanted)
    helping = _by_router(_CONNTRACK_HELPERS.rows(tx, here, wanted))
    proxied = _by_router(_NDP_PROXIES.rows(tx, here, wanted))
    metering = labels_of_routers(tx, {row.id: row.project_id for row in found})
    return L3State(
        position=position,
        routers=tuple(
            _router(
                row,
                [
                    attached
                    for attached in attached_ports.get(row.id, ())
                    if attached.port_type != device_owners.ROUTER_HA or attached.host == request.host
                ],
                prefixes,
                floating.get(row.id, ()),
                forwarded.get(row.id, ()),
                limits.get(row.id, ()),
                helping.get(row.id, ()),
                metering[row.id],
                proxied.get(row.id, ()),
                config,
                request.host,
            )
            for row in found
        ),
    )


def _by_router(rows: Iterable[Row[Any]]) -> dict[str, list[Row[Any]]]:
    found: dict[str, list[Row[Any]]] = {}
    for row in rows:
        found.setdefault(row.router_id, []).append(row)
    return found


def _router(
    row: Row[Any],
    attached_ports: Sequence[Row[Any]],
    prefixes: Mapping[str, Row[Any]],
    floating: Sequence[Row[Any]],
    forwarded: Sequence[Row[Any]],
    limits: tuple[AddressQos, ...],
    helping: Sequence[Row[Any]],
    metering: tuple[MeteringLabel, ...],
    proxied: Sequence[Row[Any]],
    config: NetworkConfig,
    host: str,
) -> RouterDetails:
    gateways = [
        _port(attached, prefixes)
        for attached in attached_ports
        if attached.port_type == device_owners.ROUTER_GATEWAY
    ]
    return RouterDetails(
        router_id=row.id,
        name=row.name,
        admin_state_up=row.admin_state_up,
        gateway=gateways[0] if gateways else None,
        more_gateways=tuple(gateways[1:]),
        enable_default_route_ecmp=row.enable_default_route_ecmp,
        enable_default_route_bfd=row.enable_default_route_bfd,
        enable_snat=row.enable_snat,
        interfaces=tuple(
            _port(attached, prefixes)
            for attached in attached_ports
            if attached.port_type in (*device_owners.INTERFACES, device_owners.CENTRAL_SNAT)
        ),
        floating_ips=tuple(
            FloatingIP(
                floating_ip_id=one.id,
                floating_ip_address=one.floating_ip_address,
                fixed_ip_address=one.fixed_ip_address,
                port_id=one.fixed_port_id,
            )
            for one in floating
        ),
        routes=tuple(HostRoute(destination=one["destination"], nexthop=one["nexthop"]) for one in row.routes),
        port_forwardings=tuple(map(_port_forwarding, forwarded)),
        limits=limits,
        metering_labels=metering,
        enable_ndp_proxy=row.enable_ndp_proxy,
        ndp_proxies=tuple(one.ip_address for one in proxied),
        conntrack_helpers=tuple(ConntrackHelper(one.helper, one.protocol, one.port) for one in helping),
        ha=_ha(row, attached_ports, prefixes, config.ha_advert_interval_ms),
        standby=row.phase == WAITING and row.last_host != host,
        leaves_in_s=_leaves_in_s(row, config) if row.last_host == host else None,
    )


def _leaves_in_s(row: Row[Any], config: NetworkConfig) -> float | None:
    if row.phase == ENDING:
        return LINGERS_S
    return config.router_handover_s


def _port_forwarding(row: Row[Any]) -> PortForwarding:
    external, internal = bounds(row.external_port_range), bounds(row.internal_port_range)
    return PortForwarding(
        port_forwarding_id=row.id,
        floating_ip_id=row.floatingip_id,
        floating_ip_address=row.floating_ip_address,
        protocol=row.protocol,
        external_first=external[0],
        external_last=external[1],
        fixed_ip_address=row.internal_ip_address,
        internal_first=internal[0],
        internal_last=internal[1],
    )


def _ha(
    row: Row[Any],
    attached_ports: Sequence[Row[Any]],
    prefixes: Mapping[str, Row[Any]],
    advert_interval_ms: int,
) -> HaDetails | None:
    own = next((one for one in attached_ports if one.port_type == device_owners.ROUTER_HA), None)
    if own is None or row.vr_id is None or not own.fixed_ips:
        return None
    subnet = prefixes.get(own.fixed_ips[0]["subnet_id"])
    if subnet is None:
        return None
    return HaDetails(
        port=_service_port(own),
        network_id=own.network_id,
        cidr=subnet.cidr,
        vr_id=row.vr_id,
        advert_interval_ms=advert_interval_ms,
    )


def _port(attached: Row[Any], prefixes: Mapping[str, Row[Any]]) -> RouterPort:
    """A port with its subnets; a gateway has all of its network's, since floating IPs may be from any."""
    if attached.port_type == device_owners.ROUTER_GATEWAY:
        reached = [row for row in prefixes.values() if row.network_id == attached.network_id]
    else:
        reached = [prefixes[ip["subnet_id"]] for ip in attached.fixed_ips if ip["subnet_id"] in prefixes]
    return RouterPort(
        port=_service_port(attached),
        network_id=attached.network_id,
        subnets=tuple(
            RouterSubnet(
                subnet_id=row.id,
                cidr=row.cidr,
                gateway_ip=row.gateway_ip,
                ipv6_ra_mode=row.ipv6_ra_mode,
                dns_nameservers=tuple(row.dns_nameservers),
                delegated=row.subnetpool_id == DELEGATED,
            )
            for row in reached
        ),
    )


def _service_port(attached: Row[Any]) -> ServicePort:
    return ServicePort(
        port_id=attached.id,
        mac_address=attached.mac_address,
        addresses=tuple(
            PortAddress(ip_address=ip["ip_address"], subnet_id=ip["subnet_id"]) for ip in attached.fixed_ips
        ),
        mtu=mtu_on_node(attached.mtu),
    )
