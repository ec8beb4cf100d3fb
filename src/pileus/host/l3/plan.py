"""Plans what serves a router: a namespace with a port on each of its networks, routes, and
one table of packet rules. Pure.

The gateway's port is ``qg-…`` and holds the floating IPs beside its own addresses, so that the
kernel answers for them; the ports on inner networks are ``qr-…``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

import msgspec

from pileus.drivers.advertising.advertisers import Advertisement
from pileus.drivers.nft import metering, ndp_proxy
from pileus.drivers.nft.forwarding import Forwarding
from pileus.drivers.nft.helpers import Helper
from pileus.drivers.nft.limits import AddressLimit
from pileus.drivers.nft.router import FloatingIp, Gateway, RouterRules
from pileus.drivers.nft.table import Table
from pileus.host.advertised import advertisement
from pileus.host.l3 import gateways
from pileus.host.l3.gateways import NAME_CHARACTERS, gateway_name
from pileus.host.metadata_endpoint import METADATA_V6, MetadataEndpoint
from pileus.host.namespaces.model import Namespace, NamespacePort, NamespaceRoute
from pileus.wire.dhcp import HostRoute
from pileus.wire.l3 import RouterDetails, RouterPort

INTERFACE_PREFIX = "qr-"
METADATA_PORT = 9697
"""Where the packet rules send what guests ask of the metadata service."""
_HTTP = 80

SYSCTLS = {
    # Of what it answers for it is told address by address.
    "ipv6/conf/all/proxy_ndp": "1",
    "ipv4/ip_forward": "1",
    "ipv6/conf/all/forwarding": "1",
    # A router knows its ways; it is told none by others.
    "ipv6/conf/default/accept_ra": "0",
    # Loose (RFC 3704): a source to which there is no way at all is a forged one; guests may be
    # reached by another way than they send.
    "ipv4/conf/all/rp_filter": "2",
    "ipv4/conf/default/rp_filter": "2",
    # ARP is about the addresses of the interface that is asked, not of the whole router.
    "ipv4/conf/all/arp_ignore": "1",
    "ipv4/conf/all/arp_announce": "2",
}


def interface_name(port: RouterPort) -> str:
    """``qr-`` and the first 11 characters of the port's id."""
    return INTERFACE_PREFIX + port.port.port_id[:NAME_CHARACTERS]


def quieted(router: RouterDetails) -> RouterDetails:
    """The router as it is, or with nothing plugged while it is administratively down, so that its ports are
    DOWN as Neutron's are: clients wait for that before they make a router one of another kind."""
    if router.admin_state_up:
        return router
    return msgspec.structs.replace(
        router,
        ha=None,
        gateway=None,
        more_gateways=(),
        interfaces=(),
        floating_ips=(),
        routes=(),
        port_forwardings=(),
        metering_labels=(),
        enable_ndp_proxy=False,
        ndp_proxies=(),
    )


def plan_namespace(router: RouterDetails, prefix: str) -> Namespace:
    """The namespace of a router."""
    ports = []
    floating = gateways.addresses_held(router)
    for gateway in gateways.all_of(router):
        name = gateway_name(gateway)
        outer = _namespace_port(name, gateway, [f"{address}/32" for address in floating[name]])
        ports.append(msgspec.structs.replace(outer, proxied=proxied(router)))
    answering = _answering_v6(router)
    ports += [
        _namespace_port(name, port, [f"{METADATA_V6}/64"] if name in answering else [])
        for name, port in zip(map(interface_name, router.interfaces), router.interfaces, strict=True)
    ]
    return Namespace(
        key=router.router_id,
        name=prefix + router.router_id,
        ports=tuple(ports),
        routes=tuple(_namespace_routes(router)),
        sysctls=SYSCTLS | gateways.sysctls(router),
        rules=gateways.rules(router),
    )


def plan_rules(router: RouterDetails) -> RouterRules:
    """Plan the packet rules of a router."""
    outside = gateways.all_of(router)
    return RouterRules(
        gateways=tuple(
            Gateway(gateway_name(one), gateways.source_address(one) if router.enable_snat else None)
            for one in outside
        ),
        inside=tuple(sorted(map(interface_name, router.interfaces))),
        floating_ips=tuple(
            FloatingIp(item.floating_ip_id, item.floating_ip_address, item.fixed_ip_address)
            for item in sorted(router.floating_ips, key=lambda item: item.floating_ip_id)
            if outside
        ),
        forwardings=tuple(
            Forwarding(
                item.port_forwarding_id,
                item.protocol,
                item.floating_ip_address,
                (item.external_first, item.external_last),
                item.fixed_ip_address,
                (item.internal_first, item.internal_last),
            )
            for item in router.port_forwardings
            if outside
        ),
        helpers=tuple(
            sorted(Helper(item.helper, item.protocol, item.port) for item in router.conntrack_helpers)
        ),
        limits=tuple(plan_limits(router)),
        metadata_port=METADATA_PORT,
    )


def plan_metering(router: RouterDetails) -> Table:
    """Plan the counters of the router's metering labels."""
    labels = [
        metering.Label(
            label.label_id,
            tuple(
                metering.Metered(rule.direction == "ingress", rule.excluded, rule.source, rule.destination)
                for rule in label.rules
            ),
        )
        for label in router.metering_labels
    ]
    return metering.render(list(map(gateway_name, gateways.all_of(router))), labels)


def plan_limits(router: RouterDetails) -> Iterator[AddressLimit]:
    """Plan the limits of floating IPs and of the gateway's addresses."""
    for one in router.limits:
        for outward, limit in ((True, one.egress), (False, one.ingress)):
            if limit is not None and limit.rate_kbps:
                yield AddressLimit(one.address, outward, limit.rate_kbps, limit.burst_kb)


def proxied(router: RouterDetails) -> tuple[str, ...]:
    """The addresses for which the router answers outside: of IPv6, behind it."""
    return router.ndp_proxies if router.enable_ndp_proxy else ()


def plan_ndp_proxy(router: RouterDetails) -> Table:
    """Plan who may come in to inner IPv6 subnets."""
    prefixes = {
        subnet.cidr
        for port in router.interfaces
        for subnet in port.subnets
        if router.enable_ndp_proxy and ":" in subnet.cidr
    }
    outside = list(map(gateway_name, gateways.all_of(router)))
    return ndp_proxy.render(outside, sorted(prefixes), proxied(router))


def plan_endpoints(router: RouterDetails, namespace: Namespace) -> list[MetadataEndpoint]:
    """Where guests behind the router may ask for metadata. Over IPv6 they come from an address of their
    link, which says something on that link only: so those endpoints are of a network."""
    everywhere = "0.0.0.0"  # noqa: S104 - in the router's namespace; its rules let redirected ones pass only
    endpoints = [MetadataEndpoint(namespace.name, everywhere, METADATA_PORT, router_id=router.router_id)]
    return endpoints + [
        MetadataEndpoint(namespace.name, METADATA_V6, _HTTP, interface=name, network_id=network_id)
        for name, network_id in _answering_v6(router).items()
    ]


def plan_advertisements(router: RouterDetails, namespace: Namespace) -> list[Advertisement]:
    """Plan the advertisements on networks whose IPv6 subnets want them from us; raises ValueError
    for what can't be said."""
    found = (
        advertisement(
            port.subnets,
            namespace=namespace.name,
            interface=interface_name(port),
            mac=port.port.mac_address,
            mtu=port.port.mtu,
        )
        for port in router.interfaces
    )
    return [one for one in found if one is not None]


def networks(router: RouterDetails) -> set[str]:
    """The networks that the router has ports on."""
    return {port.network_id for port in (*router.interfaces, *gateways.all_of(router))}


def floating_ids(router: RouterDetails) -> set[str]:
    """The floating IPs that the router translates, whole or single ports of them."""
    return {item.floating_ip_id for item in router.floating_ips} | {
        item.floating_ip_id for item in router.port_forwardings
    }


def unreachable(router: RouterDetails) -> list[HostRoute]:
    """Extra routes whose next hop is on no network of the router: they can't be."""
    return [route for route in router.routes if _device_to(router, route.nexthop) is None]


def _namespace_port(name: str, port: RouterPort, more: Iterable[str]) -> NamespacePort:
    lengths = {subnet.subnet_id: ipaddress.ip_network(subnet.cidr).prefixlen for subnet in port.subnets}
    own = [
        f"{address.ip_address}/{lengths[address.subnet_id]}"
        for address in port.port.addresses
        if address.subnet_id in lengths
    ]
    held = {address.ip_address for address in port.port.addresses}
    more = [address for address in more if address.partition("/")[0] not in held]
    addresses = (*own, *more)
    return NamespacePort(
        name, port.port.port_id, port.port.mac_address, port.port.mtu, addresses, link_local=True
    )


def _answering_v6(router: RouterDetails) -> dict[str, str]:
    """The ports, with their network, on which the router answers at the metadata service's IPv6 address:
    one on a network, where the router is a gateway."""
    found: dict[str, str] = {}
    for port in router.interfaces:
        held = {address.ip_address for address in port.port.addresses}
        if any(subnet.gateway_ip in held for subnet in port.subnets):
            found.setdefault(port.network_id, interface_name(port))
    return {name: network_id for network_id, name in found.items()}


def _namespace_routes(router: RouterDetails) -> Iterator[NamespaceRoute]:
    yield from gateways.routes(router)
    for route in router.routes:
        device = _device_to(router, route.nexthop)
        if device is not None:
            yield NamespaceRoute(route.destination, device, route.nexthop)


def _device_to(router: RouterDetails, nexthop: str) -> str | None:
    """The router's port whose subnet a neighbour is in."""
    address = ipaddress.ip_address(nexthop)
    named = [(interface_name(port), port) for port in router.interfaces]
    named += [(gateway_name(one), one) for one in gateways.all_of(router)]
    for name, port in named:
        if any(address in ipaddress.ip_network(subnet.cidr) for subnet in port.subnets):
            return name
    return None
