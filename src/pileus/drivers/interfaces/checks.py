"""Whether a declared host network can be put together, and the reasons why not. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Literal

from pileus.core.addresses import NotAnAddress, parse_address, parse_interface
from pileus.drivers.interfaces.spec import Addressed, Bond, HostNetwork

_SEARCH = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")


def of_version(one: Addressed, version: Literal[4, 6]) -> tuple[str, ...]:
    """Addresses of one version of IP, in their normal form."""
    found = (parse_interface(text) for text in one.addresses)
    return tuple(str(address) for address in found if address.version == version)


def problems(network: HostNetwork) -> list[str]:
    """Why the values can't be put together; empty when they can."""
    return [*_names(network), *_places(network), *_bonds(network.bonds), *_addresses(network)]


def _names(network: HostNetwork) -> Iterator[str]:
    declared = Counter(network.names())
    yield from (f"{name} is declared {times} times" for name, times in declared.items() if times > 1)
    used = Counter(port for bridge in network.bridges for port in bridge.ports)
    used.update(member for bond in network.bonds for member in bond.members)
    yield from (f"{name} is in {times} bridges or bonds" for name, times in used.items() if times > 1)
    bridges, bonds = ({one.name for one in some} for some in (network.bridges, network.bonds))
    addressed = {
        one.name: one
        for one in (*network.interfaces, *network.vlans)
        if (one.method, one.method6) != ("manual", "manual")
    }
    for name in used:
        if name in bridges:
            yield f"{name} is a bridge, and can't be in a bridge or bond"
        elif name in bonds:
            yield f"{name} is a bond: name its bridge at the bond"
        elif name in addressed:
            yield f"{name} is in a bridge or bond, and can't have addresses"


def _places(network: HostNetwork) -> Iterator[str]:
    switches, bridges = network.switches(), {bridge.name for bridge in network.bridges}
    members = {member for bond in network.bonds for member in bond.members}
    ports = {port for bridge in network.bridges for port in bridge.ports}
    for bond in network.bonds:
        if bond.bridge not in switches:
            yield f"bond {bond.name}: there is no bridge of Open vSwitch {bond.bridge}"
    kernel = {vlan.name for vlan in network.kernel_vlans()}
    inner = {vlan.name for vlan in network.inner_vlans()}
    for vlan in network.vlans:
        if vlan.link == vlan.name:
            yield f"VLAN {vlan.name} is its own link"
        elif vlan.link in bridges - switches.keys():
            yield f"VLAN {vlan.name}: {vlan.link} is no bridge of Open vSwitch"
        elif any(vlan.link == bond.name for bond in network.bonds) or vlan.link in members:
            yield f"VLAN {vlan.name}: {vlan.link} is (in) a bond; name the bond's bridge"
        elif vlan.link in kernel | inner:
            yield f"VLAN {vlan.name}: {vlan.link} is a VLAN itself"
        elif vlan.link in ports and vlan.link not in switches:
            yield f"VLAN {vlan.name}: {vlan.link} is a port of a bridge; name the bridge"
    yield from (
        f"VLAN {name} is a port of its bridge by itself" for name in sorted(inner & (ports | members))
    )


def _bonds(bonds: tuple[Bond, ...]) -> Iterator[str]:
    for bond in bonds:
        if len(bond.members) < 2:
            yield f"bond {bond.name} needs at least two members"
        if bond.mode == "balance-tcp" and bond.lacp == "off":
            yield f"bond {bond.name}: balance-tcp needs lacp"
        if bond.primary and bond.mode != "active-backup":
            yield f"bond {bond.name}: only active-backup has a primary member"
        if bond.primary and bond.primary not in bond.members:
            yield f"bond {bond.name}: its primary {bond.primary} is not among its members"


def _addresses(network: HostNetwork) -> Iterator[str]:
    for one in (*network.interfaces, *network.bridges, *network.vlans):
        for what, texts in (("gateway", (one.gateway, one.gateway6)), ("dns", one.dns)):
            yield from (f"{one.name}: {what} {text} is no address" for text in texts if not _is_address(text))
        yield from (f"{one.name}: {text} is no domain" for text in one.search if not _SEARCH.fullmatch(text))
        bad = [text for text in one.addresses if "/" not in text or not _is_interface(text)]
        yield from (f"{one.name}: {text} is no address with a prefix length" for text in bad)
        if bad:
            continue
        for version, method in ((4, one.method), (6, one.method6)):
            here = of_version(one, 4 if version == 4 else 6)
            if method == "static" and not here:
                yield f"{one.name}: its IPv{version} is static and has no address"
            if method != "static" and here:
                yield f"{one.name}: {here[0]} needs a static IPv{version}, not {method}"
        for version, gateway, method in ((4, one.gateway, one.method), (6, one.gateway6, one.method6)):
            if not gateway or not _is_address(gateway):
                continue
            if parse_address(gateway).version != version:
                yield f"{one.name}: gateway {gateway} is not of IPv{version}"
            elif method != "static":
                yield f"{one.name}: gateway {gateway} needs a static IPv{version}, not {method}"


def _is_address(text: str) -> bool:
    if not text:
        return True
    try:
        parse_address(text)
    except NotAnAddress:
        return False
    return True


def _is_interface(text: str) -> bool:
    try:
        parse_interface(text)
    except (NotAnAddress, ValueError):
        return False
    return True
