"""A guest's network as Debian's ``/etc/network/interfaces``, for guests that know no network_data.json. Pure.

Nova injects such a file where no DHCP server tells addresses (``flat_injected``), and names it as
``network_config`` of the metadata: cloudbase-init and plain scripts read it. Interfaces are counted in the
order of their ports, and bear their MAC address.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from pileus.services.compute.instance_metadata.facts import MetadataFacts
from pileus.services.compute.rules.untold import Subnet, is_static


def interfaces_file(facts: MetadataFacts) -> bytes | None:
    """The file; None where each address is told by a DHCP server or a router."""
    several = [(one.port, _addresses(one.port, facts.subnets)) for one in facts.ports]
    if not any(is_static(subnet) for _, addresses in several for subnet, _ in addresses):
        return None
    lines = ["auto lo", "iface lo inet loopback"]
    for number, (port, addresses) in enumerate(several):
        lines += ["", f"auto eth{number}"]
        hardware = f"    hwaddress ether {port['mac_address']}"
        for subnet, texts in addresses:
            family = "inet" if subnet["ip_version"] == 4 else "inet6"
            lines += [f"iface eth{number} {family} {_method(subnet)}", hardware]
            if is_static(subnet):
                lines += [f"    {line}" for line in _static(subnet, texts)]
        if not addresses:
            lines += [f"iface eth{number} inet manual", hardware]
    return ("\n".join(lines) + "\n").encode()


def _method(subnet: Subnet) -> str:
    if subnet["ipv6_address_mode"] in ("slaac", "dhcpv6-stateless"):
        return "auto"
    return "static" if is_static(subnet) else "dhcp"


def _addresses(port: Mapping[str, Any], subnets: Mapping[str, Subnet]) -> list[tuple[Subnet, list[str]]]:
    """Of each subnet the addresses that a port has there, IPv4 before IPv6."""
    found: dict[str, list[str]] = {}
    for fixed in port["fixed_ips"] or []:
        if fixed["subnet_id"] in subnets:
            found.setdefault(fixed["subnet_id"], []).append(fixed["ip_address"])
    return sorted(
        ((subnets[key], texts) for key, texts in found.items()), key=lambda one: one[0]["ip_version"]
    )


def _static(subnet: Subnet, addresses: list[str]) -> Iterator[str]:
    length = ipaddress.ip_network(subnet["cidr"]).prefixlen
    first, *others = addresses
    yield f"address {first}/{length}"
    if subnet["gateway_ip"]:
        yield f"gateway {subnet['gateway_ip']}"
    yield from (f"up ip addr add {address}/{length} dev $IFACE" for address in others)
    for route in subnet["host_routes"] or []:
        yield f"up ip route add {route['destination']} via {route['nexthop']} dev $IFACE"
    servers = [one for one in subnet["dns_nameservers"] or [] if not ipaddress.ip_address(one).is_unspecified]
    if servers:
        yield f"dns-nameservers {' '.join(servers)}"
