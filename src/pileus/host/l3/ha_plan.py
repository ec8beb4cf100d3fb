"""Plans what a router of high availability has on each of its hosts. Pure.

All hosts have the same namespace with the same ports; addresses and routes, which another router's namespace
has for good, are keepalived's to give to one of them at a time.
"""

from __future__ import annotations

from msgspec.structs import replace

from pileus.core.addresses import link_local
from pileus.drivers.keepalived.spec import VirtualAddress, VirtualRoute, VirtualRouter
from pileus.host.namespaces.model import Namespace, NamespacePort, NamespaceRoute
from pileus.wire.l3 import HaDetails, RouterDetails

HA_PREFIX = "ha-"
_NAME_CHARACTERS = 11
_SYSCTLS = {
    # All hosts' ports have the same hardware address, and one host at a time what follows from it.
    "ipv6/conf/default/addr_gen_mode": "1",
}


def ha_name(ha: HaDetails) -> str:
    """``ha-`` and the first 11 characters of the port's id."""
    return HA_PREFIX + ha.port.port_id[:_NAME_CHARACTERS]


def held_ready(ha: HaDetails, whole: Namespace) -> Namespace:
    """The namespace without what only the active host has, and with a port on the HA network."""
    length = ha.cidr.partition("/")[2]
    own = NamespacePort(
        name=ha_name(ha),
        port_id=ha.port.port_id,
        mac=ha.port.mac_address,
        mtu=ha.port.mtu,
        addresses=tuple(f"{one.ip_address}/{length}" for one in ha.port.addresses),
        shared=True,
    )
    ports = tuple(replace(port, addresses=(), shared=True) for port in whole.ports)
    return replace(whole, ports=(own, *ports), routes=(), sysctls={**whole.sysctls, **_SYSCTLS})


def plan_virtual_router(router: RouterDetails, ha: HaDetails, whole: Namespace) -> VirtualRouter:
    """Plan what the active one has: addresses, routes, and on each link the address that follows from the
    port's hardware address."""
    addresses = [
        VirtualAddress(address, port.name)
        for port in whole.ports
        for address in (*port.addresses, *([f"{link_local(port.mac)}/64"] if port.addresses else []))
    ]
    return VirtualRouter(
        router_id=router.router_id,
        namespace=whole.name,
        interface=ha_name(ha),
        address=ha.port.addresses[0].ip_address if ha.port.addresses else "",
        group=ha.network_id,
        vr_id=ha.vr_id,
        advert_interval_ms=ha.advert_interval_ms,
        addresses=tuple(addresses),
        routes=tuple(_route(one) for one in whole.routes),
    )


def _route(route: NamespaceRoute) -> VirtualRoute:
    hops = tuple((hop.via, hop.device) for hop in route.hops)
    return VirtualRoute(route.destination, route.device, route.via, route.table, hops)
