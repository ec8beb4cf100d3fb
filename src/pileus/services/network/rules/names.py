"""Names of ports in the domain name system: those by which a network's own resolver answers. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

DEFAULT_DOMAIN = "openstacklocal."
"""The domain of guests in a network that has none of its own."""


def host_name(fixed_ips: Sequence[Mapping[str, str]]) -> str:
    """Name a guest that has no name: ``host-10-0-0-5``, by an IPv4 address if it has one."""
    addresses = [ip["ip_address"] for ip in fixed_ips]
    return _of_address(next((one for one in addresses if "." in one), addresses[0]))


def domain_of(network_domain: str) -> str:
    """The domain of a network's guests, with a dot at its end."""
    return network_domain or DEFAULT_DOMAIN


def assignment(port: Mapping[str, Any], network_domain: str) -> list[dict[str, str]]:
    """``dns_assignment``: the name of each of a port's addresses."""
    name = port["dns_name"]
    domain = port["dns_domain"] or domain_of(network_domain)
    found = []
    for ip in port["fixed_ips"]:
        host = name or _of_address(ip["ip_address"])
        whole = host if host.endswith(".") else f"{host}.{domain}"
        found.append({"ip_address": ip["ip_address"], "hostname": host, "fqdn": whole})
    return found


def _of_address(address: str) -> str:
    return "host-" + address.replace(".", "-").replace(":", "-")
