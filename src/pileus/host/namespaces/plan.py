"""From the namespaces that are there to those that shall be. Pure.

Of addresses, those of the link (``fe80::/10``) are the kernel's own affair, except the ones that
are wanted: those of the metadata service.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from pileus.core.addresses import link_local
from pileus.drivers.netlink.links import Address, Contents, Link, PolicyRule, Route, Veth
from pileus.host.namespaces.model import Namespace, NamespacePort

METADATA_V6 = "fe80::a9fe:a9fe/64"
"""Where guests find the metadata service by IPv6."""
_LINK_LOCAL = ipaddress.ip_network("fe80::/10")
_NOTHING = Contents()


class NamespacePlan(msgspec.Struct, frozen=True):
    """Changes in the order in which they are made; removals go last."""

    namespaces: tuple[str, ...] = ()
    sysctls: dict[str, dict[str, str]] = {}
    veths: tuple[Veth, ...] = ()
    addresses: tuple[Address, ...] = ()
    routes: tuple[Route, ...] = ()
    gone_routes: tuple[Route, ...] = ()
    gone_addresses: tuple[Address, ...] = ()
    proxies: tuple[Address, ...] = ()
    gone_proxies: tuple[Address, ...] = ()
    rules: dict[str, tuple[PolicyRule, ...]] = {}

    def __len__(self) -> int:
        settings = sum(map(len, self.sysctls.values()))
        lists = (self.namespaces, self.veths, self.addresses, self.routes, self.proxies, self.gone_proxies)
        return settings + len(self.rules) + sum(map(len, (*lists, self.gone_routes, self.gone_addresses)))


def plan_namespaces(
    wanted: Iterable[Namespace], found: Mapping[str | None, Contents], label: str
) -> NamespacePlan:
    """Compare. ``found`` has home (None) and those of the wanted namespaces that are there."""
    namespaces: list[str] = []
    sysctls: dict[str, dict[str, str]] = {}
    veths: list[Veth] = []
    addresses: list[Address] = []
    gone_addresses: list[Address] = []
    proxies: list[Address] = []
    gone_proxies: list[Address] = []
    routes: list[Route] = []
    gone_routes: list[Route] = []
    rules: dict[str, tuple[PolicyRule, ...]] = {}
    home = found[None].links
    for namespace in wanted:
        inside = found.get(namespace.name)
        if inside is None or inside.links["lo"].label != label or not inside.links["lo"].up:
            namespaces.append(namespace.name)
        inside = inside or _NOTHING
        differing = _sysctls(namespace, inside)
        if differing:
            sysctls[namespace.name] = differing
        for port in namespace.ports:
            veth = _veth(namespace, port, label)
            present = inside.links.get(port.name)
            if not _fits(veth, home.get(port.name), present):
                veths.append(veth)
            come, gone = _addresses(namespace.name, port, present)
            addresses += come
            gone_addresses += gone
            come, gone = _proxied(namespace.name, port, present)
            proxies += come
            gone_proxies += gone
        made, removed = _routes(namespace, inside)
        routes += made
        gone_routes += removed
        if set(namespace.rules) != set(inside.rules):
            rules[namespace.name] = namespace.rules
    return NamespacePlan(
        tuple(namespaces),
        sysctls,
        tuple(veths),
        tuple(addresses),
        tuple(routes),
        tuple(gone_routes),
        tuple(gone_addresses),
        tuple(proxies),
        tuple(gone_proxies),
        rules,
    )


def strays(found: Mapping[str | None, Contents], wanted: Iterable[Namespace], label: str) -> list[str]:
    """Namespaces that are ours and not wanted: they bear the label, or a crash left them empty."""
    names = {namespace.name for namespace in wanted}
    return sorted(
        name
        for name, inside in found.items()
        if name is not None
        and name not in names
        and (inside.links["lo"].label == label or inside.links.keys() == {"lo"})
    )


def stray_links(home: Mapping[str, Link], wanted: Iterable[Namespace], label: str) -> list[str]:
    """Interfaces at home that are ours and belong to no wanted namespace."""
    names = {port.name for namespace in wanted for port in namespace.ports}
    return sorted(name for name, link in home.items() if link.label == label and name not in names)


def _veth(namespace: Namespace, port: NamespacePort, label: str) -> Veth:
    return Veth(port.name, port.name, namespace.name, mac=port.mac.lower(), mtu=port.mtu, label=label)


def _fits(veth: Veth, outer: Link | None, inner: Link | None) -> bool:
    return (
        outer is not None
        and inner is not None
        and (outer.mtu, outer.up, outer.label) == (veth.mtu, True, veth.label)
        and (inner.mtu, inner.up, inner.mac) == (veth.mtu, True, veth.mac)
    )


def _sysctls(namespace: Namespace, inside: Contents) -> dict[str, str]:
    """Sysctls to be set: those that differ, all in a namespace that is to be made."""
    if not inside.links:
        return dict(namespace.sysctls)
    present = inside.sysctls
    return {key: value for key, value in namespace.sysctls.items() if present.get(key, value) != value}


def _addresses(namespace: str, port: NamespacePort, link: Link | None) -> tuple[list[Address], list[Address]]:
    wanted = [str(ipaddress.ip_interface(address)) for address in port.addresses]
    present = set(link.addresses) if link is not None else set()
    come = [Address(namespace, port.name, text) for text in wanted if text not in present]
    if port.link_local and wanted and not any(text != METADATA_V6 and _is_of_link(text) for text in present):
        come.append(Address(namespace, port.name, f"{link_local(port.mac)}/64"))
    gone = [
        Address(namespace, port.name, text)
        for text in sorted(present.difference(wanted))
        if text == METADATA_V6 or not _is_of_link(text)
    ]
    return come, [] if port.shared else gone


def _is_of_link(text: str) -> bool:
    return ipaddress.ip_interface(text).ip in _LINK_LOCAL


def _proxied(namespace: str, port: NamespacePort, link: Link | None) -> tuple[list[Address], list[Address]]:
    present = set(link.proxied) if link is not None else set()
    wanted = {str(ipaddress.ip_address(address)) for address in port.proxied}
    come = [Address(namespace, port.name, text) for text in sorted(wanted - present)]
    return come, [Address(namespace, port.name, text) for text in sorted(present - wanted)]


def _routes(namespace: Namespace, inside: Contents) -> tuple[list[Route], list[Route]]:
    wanted: dict[tuple[str, int], Route] = {}
    for route in namespace.routes:
        destination = str(ipaddress.ip_network(route.destination, strict=False))
        # One way for a destination: the first one.
        device = None if route.hops else route.device
        one = Route(namespace.name, destination, route.via, device, route.table, tuple(sorted(route.hops)))
        wanted.setdefault((destination, route.table), one)
    present = [msgspec.structs.replace(route, namespace=namespace.name) for route in inside.routes]
    come = [route for route in wanted.values() if route not in present]
    shared = {port.name for port in namespace.ports if port.shared}
    doubles = Counter((route.destination, route.table) for route in present)
    gone = [
        route
        for route in present
        # Another way to a wanted destination is replaced, and needs no taking away.
        if not shared & {route.device, *(hop.device for hop in route.hops)}
        and (
            (key := (route.destination, route.table)) not in wanted
            or (doubles[key] > 1 and route != wanted[key])
        )
    ]
    return come, gone
