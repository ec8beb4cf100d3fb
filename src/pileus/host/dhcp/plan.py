"""Plans what serves a network with DHCP: a namespace with the agent's port, and a dnsmasq. Pure.

A dnsmasq runs exactly where a network is admin up and has a subnet whose DHCP nobody else answers. Guests
whose gateway is no router of ours find the metadata service at the agent's port: they are told a route to it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from pileus.drivers.dnsmasq import spec
from pileus.drivers.dnsmasq.render import MEMOS, host_fault
from pileus.host.dhcp.terms import is_label, is_tellable, mode_of, plain_domain, resolvers_of
from pileus.host.metadata_endpoint import METADATA_V4, METADATA_V6, MetadataEndpoint
from pileus.host.namespaces.model import Namespace, NamespacePort, NamespaceRoute
from pileus.wire.dhcp import DhcpHost, DhcpNetwork, DhcpSubnet

PORT_PREFIX = "tap"
_NAME_CHARACTERS = 11
_HTTP = 80
_MODES = ("stateful", "stateless")

SYSCTLS = {
    # The agent's port is configured by us, not by what routers say on the network.
    "ipv6/conf/default/accept_ra": "0",
    "ipv6/conf/all/forwarding": "0",
    "ipv4/ip_forward": "0",
}


def is_served(network: DhcpNetwork) -> bool:
    """Whether its guests are served here: addresses are given out, or metadata alone, which guests behind a
    router of ours find there."""
    return network.admin_state_up and any(
        subnet.enable_dhcp and not (subnet.subnet_id in network.elsewhere and subnet.gateway_is_router)
        for subnet in network.subnets
    )


def gives_addresses(network: DhcpNetwork) -> bool:
    """Whether a dnsmasq runs in the namespace: not where gateway machines or switches answer all guests."""
    return any(subnet.enable_dhcp and subnet.subnet_id not in network.elsewhere for subnet in network.subnets)


def interface(network: DhcpNetwork) -> str:
    """``tap`` and the first 11 characters of the port's id, as the hypervisors name theirs."""
    return PORT_PREFIX + network.port.port_id[:_NAME_CHARACTERS]


def plan_namespace(network: DhcpNetwork, prefix: str) -> Namespace | None:
    """The namespace of a network; None where nothing is to run."""
    if not is_served(network):
        return None
    subnets = {subnet.subnet_id: subnet for subnet in network.subnets}
    lengths = {key: ipaddress.ip_network(subnet.cidr).prefixlen for key, subnet in subnets.items()}
    addresses = [
        f"{address.ip_address}/{lengths[address.subnet_id]}"
        for address in network.port.addresses
        if address.subnet_id in lengths
    ]
    addresses.append(f"{METADATA_V4}/32")
    if _answers_v6(network):
        addresses.append(f"{METADATA_V6}/64")
    port = NamespacePort(
        interface(network), network.port.port_id, network.port.mac_address, network.mtu, tuple(addresses)
    )
    return Namespace(
        key=network.network_id,
        name=prefix + network.network_id,
        ports=(port,),
        routes=tuple(_namespace_routes(network, port.name)),
        sysctls=SYSCTLS,
    )


def plan_endpoints(network: DhcpNetwork, namespace: Namespace) -> list[MetadataEndpoint]:
    """Where guests of the network may ask for metadata."""
    endpoints = [MetadataEndpoint(namespace.name, METADATA_V4, _HTTP, network_id=network.network_id)]
    if _answers_v6(network):
        name = interface(network)
        endpoints.append(
            MetadataEndpoint(
                namespace.name, METADATA_V6, _HTTP, interface=name, network_id=network.network_id
            )
        )
    return endpoints


def plan_server(network: DhcpNetwork, namespace: Namespace, lease_s: int) -> spec.DhcpNetwork:
    """The network's dnsmasq."""
    own = {address.subnet_id: address.ip_address for address in network.port.addresses}
    network = _without_elsewhere(network)
    subnets = [plan_subnet(subnet, own) for subnet in network.subnets if mode_of(subnet) is not None]
    stateful, stateless = _modes(network)
    return spec.DhcpNetwork(
        network_id=network.network_id,
        interface=interface(network),
        namespace=namespace.name,
        subnets=tuple(sorted(subnets, key=lambda subnet: subnet.id)),
        hosts=tuple(_hosts(network.hosts, stateful, stateless)),
        mtu=network.mtu,
        domain=plain_domain(network.dns_domain),
        names=True,
        lease_s=lease_s,
    )


def unusable(network: DhcpNetwork) -> dict[str, str]:
    """Ports of a network whose guests can't be told all that they should, with the reason."""
    stateful, stateless = _modes(network)
    found: dict[str, str] = {}
    for host in network.hosts:
        for option in host.options:
            if not is_tellable(option):
                found[host.port_id] = f"the option {option.name!r} can't be told as it is"
    return found | {host.port_id: why for host, why in _faults(network.hosts, stateful, stateless)}


def _without_elsewhere(network: DhcpNetwork) -> DhcpNetwork:
    """The network with what is given out here; those without an address here are left out."""
    if not network.elsewhere:
        return network
    mine = tuple(subnet for subnet in network.subnets if subnet.subnet_id not in network.elsewhere)
    return msgspec.structs.replace(network, subnets=mine)


def _modes(network: DhcpNetwork) -> tuple[set[str], set[str]]:
    """The subnets that addresses are given of; those whose guests make theirs, and ask for options."""
    by_mode = {kind: {s.subnet_id for s in network.subnets if mode_of(s) == kind} for kind in _MODES}
    return by_mode["stateful"], by_mode["stateless"]


def _namespace_routes(network: DhcpNetwork, name: str) -> Iterator[NamespaceRoute]:
    """To the gateways, so that guests behind a router of the network are answered."""
    for version, everything in ((4, "0.0.0.0/0"), (6, "::/0")):
        for subnet in network.subnets:
            if (
                subnet.ip_version == version
                and subnet.gateway_ip is not None
                and any(address.subnet_id == subnet.subnet_id for address in network.port.addresses)
                and ipaddress.ip_address(subnet.gateway_ip) in ipaddress.ip_network(subnet.cidr)
            ):
                yield NamespaceRoute(everything, name, subnet.gateway_ip)
                break


def _answers_v6(network: DhcpNetwork) -> bool:
    """One of a network answers at that address: a router of ours if there is one."""
    return not any(subnet.gateway_is_router for subnet in network.subnets)


def plan_subnet(subnet: DhcpSubnet, own: Mapping[str, str]) -> spec.DhcpSubnet:
    """A subnet of a server. ``own``: the server's addresses, by subnet."""
    server = own.get(subnet.subnet_id)
    routes = [spec.DhcpRoute(route.destination, route.nexthop) for route in subnet.host_routes]
    if subnet.ip_version == 4 and not subnet.gateway_is_router and server is not None:
        routes.append(spec.DhcpRoute(f"{METADATA_V4}/32", server))
    return spec.DhcpSubnet(
        id=subnet.subnet_id,
        cidr=subnet.cidr,
        server=server,
        gateway=subnet.gateway_ip if subnet.ip_version == 4 else None,
        resolvers=resolvers_of(subnet, server),
        routes=tuple(routes) if subnet.ip_version == 4 else (),
        mode="stateless" if mode_of(subnet) == "stateless" else "stateful",
    )


def _hosts(hosts: Iterable[DhcpHost], stateful: set[str], stateless: set[str]) -> Iterator[spec.DhcpHost]:
    """The ports that have something to ask for and can be told it. The server's order is not kept: files
    are compared."""
    for host, fault in _examined(hosts, stateful, stateless):
        if fault is None:
            yield host


def _faults(
    hosts: Iterable[DhcpHost], stateful: set[str], stateless: set[str]
) -> Iterator[tuple[spec.DhcpHost, str]]:
    for host, fault in _examined(hosts, stateful, stateless):
        if fault is not None:
            yield host, fault


def _examined(
    hosts: Iterable[DhcpHost], stateful: set[str], stateless: set[str]
) -> Iterator[tuple[spec.DhcpHost, str | None]]:
    """Each with why it is left out, lest it keep the whole network from being served."""
    taken: dict[str, str] = {}
    of_addresses, of_options = frozenset(stateful), frozenset(stateful | stateless)
    for host in sorted(hosts, key=lambda host: host.port_id):
        told, fault = _told(host, of_addresses, of_options)
        if told is None:
            continue
        claims = (told.mac.lower(), *told.addresses)
        if fault is None and (claim := next((one for one in claims if one in taken), None)) is not None:
            fault = f"{claim} is that of port {taken[claim]}"
        if fault is None:
            taken |= dict.fromkeys(claims, told.port_id)
        yield told, fault


@MEMOS.remember(1 << 14)
def _told(
    host: DhcpHost, of_addresses: frozenset[str], of_options: frozenset[str]
) -> tuple[spec.DhcpHost | None, str | None]:
    """The host as a server of the network has it, None where it has nothing to ask for; and its fault, if it
    has one by itself. Remembered, since all of a network are looked at whenever one of them changes."""
    options = tuple(
        spec.DhcpOption(option.name, option.value, 6 if option.ip_version == 6 else 4)
        for option in host.options
        if is_tellable(option)
    )
    # dnsmasq finds whose options are asked for by the address that a guest has made itself.
    known = of_options if any(option.version == 6 for option in options) else of_addresses
    addresses = tuple(address.ip_address for address in host.addresses if address.subnet_id in known)
    if not addresses:
        return None, None
    told = spec.DhcpHost(
        port_id=host.port_id,
        mac=host.mac_address,
        addresses=addresses,
        hostname=host.hostname if is_label(host.hostname) else None,
        options=options,
        fqdn=_fqdn(host),
    )
    return told, host_fault(told)


def _fqdn(host: DhcpHost) -> str | None:
    """The name of a host whose domain is not its network's."""
    domain = plain_domain(host.domain) if host.domain else None
    return f"{host.hostname}.{domain}" if domain and is_label(host.hostname) else None
