"""Plans what serves a router: a namespace with a port on each of its networks, routes, and
one table of packet rules. Pure.

The gateway's port is ``qg-…`` and holds the floating IPs beside its own addresses, so that the
kernel answers for them; the ports on inner networks are ``qr-…``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

import msgspec

from pileus.drivers.advertising.advertisers import Advertisement, Prefix, message
from pileus.drivers.nft import metering, ndp_proxy
from pileus.drivers.nft.forwarding import Forwarding
from pileus.drivers.nft.helpers import Helper
from pileus.drivers.nft.limits import AddressLimit
from pileus.drivers.nft.router import FloatingIp, RouterRules
from pileus.drivers.nft.table import Table
from pileus.host.metadata_endpoint import METADATA_V6, MetadataEndpoint
from pileus.host.namespaces.model import Namespace, NamespacePort, NamespaceRoute
from pileus.wire.dhcp import HostRoute
from pileus.wire.l3 import RouterDetails, RouterPort, RouterSubnet

GATEWAY_PREFIX, INTERFACE_PREFIX = "qg-", "qr-"
METADATA_PORT = 9697
"""Where the packet rules send what guests ask of the metadata service."""
_NAME_CHARACTERS = 11
_HTTP = 80
_DEFAULTS = ((4, "0.0.0.0/0"), (6, "::/0"))

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


class _RaMode(msgspec.Struct, frozen=True):
    autonomous: bool
    managed: bool
    other: bool


_RA_MODES = {
    "slaac": _RaMode(autonomous=True, managed=False, other=False),
    "dhcpv6-stateless": _RaMode(autonomous=True, managed=False, other=True),
    "dhcpv6-stateful": _RaMode(autonomous=False, managed=True, other=True),
}


def gateway_name(port: RouterPort) -> str:
    """``qg-`` and the first 11 characters of the port's id."""
    return GATEWAY_PREFIX + port.port.port_id[:_NAME_CHARACTERS]


def interface_name(port: RouterPort) -> str:
    """``qr-`` and the first 11 characters of the port's id."""
    return INTERFACE_PREFIX + port.port.port_id[:_NAME_CHARACTERS]


def quieted(router: RouterDetails) -> RouterDetails:
    """The router as it is, or silent while it is administratively down: its ports stay plugged (they are
    ACTIVE, which is what clients wait for), and without addresses nothing answers, translates or forwards."""
    if router.admin_state_up:
        return router
    gateway = _silent(router.gateway) if router.gateway is not None else None
    interfaces = tuple(map(_silent, router.interfaces))
    return msgspec.structs.replace(
        router,
        gateway=gateway,
        interfaces=interfaces,
        floating_ips=(),
        routes=(),
        port_forwardings=(),
        metering_labels=(),
        enable_ndp_proxy=False,
        ndp_proxies=(),
    )


def _silent(port: RouterPort) -> RouterPort:
    plug = msgspec.structs.replace(port.port, addresses=())
    return msgspec.structs.replace(port, port=plug, subnets=())


def plan_namespace(router: RouterDetails, prefix: str) -> Namespace:
    """The namespace of a router."""
    ports = []
    if router.gateway is not None:
        outside = [item.floating_ip_address for item in router.floating_ips]
        outside += [item.floating_ip_address for item in router.port_forwardings]
        floating = [f"{address}/32" for address in dict.fromkeys(outside)]
        outer = _namespace_port(gateway_name(router.gateway), router.gateway, floating)
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
        sysctls=SYSCTLS,
    )


def plan_rules(router: RouterDetails) -> RouterRules:
    """Plan the packet rules of a router."""
    gateway = router.gateway
    sources = [address.ip_address for address in gateway.port.addresses] if gateway is not None else []
    source = next((ip for ip in sources if ipaddress.ip_address(ip).version == 4), None)
    return RouterRules(
        gateway=gateway_name(gateway) if gateway is not None else None,
        source_address=source if router.enable_snat else None,
        inside=tuple(sorted(map(interface_name, router.interfaces))),
        floating_ips=tuple(
            FloatingIp(item.floating_ip_id, item.floating_ip_address, item.fixed_ip_address)
            for item in sorted(router.floating_ips, key=lambda item: item.floating_ip_id)
            if gateway is not None
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
            if gateway is not None
        ),
        helpers=tuple(
            sorted(Helper(item.helper, item.protocol, item.port) for item in router.conntrack_helpers)
        ),
        limits=tuple(plan_limits(router)),
        metadata_port=METADATA_PORT,
    )


def plan_metering(router: RouterDetails) -> Table:
    """Plan the counters of the router's metering labels."""
    gateways = [gateway_name(router.gateway)] if router.gateway is not None else []
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
    return metering.render(gateways, labels)


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
    gateway = gateway_name(router.gateway) if router.gateway is not None else None
    return ndp_proxy.render(gateway, sorted(prefixes), proxied(router))


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
    found: list[Advertisement] = []
    for port in router.interfaces:
        subnets = [
            (subnet, _RA_MODES[subnet.ipv6_ra_mode])
            for subnet in port.subnets
            if subnet.ipv6_ra_mode in _RA_MODES and ":" in subnet.cidr
        ]
        if not subnets:
            continue
        found.append(
            Advertisement(
                namespace=namespace.name,
                interface=interface_name(port),
                mac=port.port.mac_address,
                mtu=port.port.mtu,
                prefixes=tuple(Prefix(subnet.cidr, mode.autonomous) for subnet, mode in subnets),
                managed=any(mode.managed for _, mode in subnets),
                other=any(mode.other for _, mode in subnets),
                resolvers=tuple(
                    dict.fromkeys(
                        resolver
                        for subnet, _ in subnets
                        for resolver in subnet.dns_nameservers
                        if ":" in resolver and resolver != "::"
                    )
                ),
            )
        )
    for item in found:
        message(item)
    return found


def networks(router: RouterDetails) -> set[str]:
    """The networks that the router has ports on."""
    ports = [*router.interfaces, *([router.gateway] if router.gateway is not None else [])]
    return {port.network_id for port in ports}


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
    return NamespacePort(name, port.port.port_id, port.port.mac_address, port.port.mtu, (*own, *more))


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
    gateway = router.gateway
    if gateway is not None:
        name = gateway_name(gateway)
        own = {address.subnet_id for address in gateway.port.addresses}
        for subnet in gateway.subnets:
            if subnet.subnet_id not in own:
                # The outer network's other subnets are on the same link: floating IPs may be from there.
                yield NamespaceRoute(subnet.cidr, name)
        for version, everything in _DEFAULTS:
            yield from _default(name, everything, _with_gateway(gateway.subnets, own, version))
    for route in router.routes:
        device = _device_to(router, route.nexthop)
        if device is not None:
            yield NamespaceRoute(route.destination, device, route.nexthop)


def _with_gateway(subnets: Iterable[RouterSubnet], own: set[str], version: int) -> RouterSubnet | None:
    for subnet in subnets:
        is_version = ipaddress.ip_network(subnet.cidr).version == version
        if subnet.subnet_id in own and is_version and subnet.gateway_ip is not None:
            return subnet
    return None


def _default(name: str, everything: str, subnet: RouterSubnet | None) -> Iterator[NamespaceRoute]:
    if subnet is None or subnet.gateway_ip is None:
        return
    gateway = ipaddress.ip_address(subnet.gateway_ip)
    if gateway not in ipaddress.ip_network(subnet.cidr) and not gateway.is_link_local:
        yield NamespaceRoute(f"{gateway}/{gateway.max_prefixlen}", name)
    yield NamespaceRoute(everything, name, str(gateway))


def _device_to(router: RouterDetails, nexthop: str) -> str | None:
    """The router's port whose subnet a neighbour is in."""
    address = ipaddress.ip_address(nexthop)
    named = [(interface_name(port), port) for port in router.interfaces]
    if router.gateway is not None:
        named.append((gateway_name(router.gateway), router.gateway))
    for name, port in named:
        if any(address in ipaddress.ip_network(subnet.cidr) for subnet in port.subnets):
            return name
    return None
