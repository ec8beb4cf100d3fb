"""Names of ports in the domain name system: those by which a network's own resolver answers. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pileus.core.context import Context
from pileus.services.network.common.names import KEYWORDS

GUESTS_DOMAIN = "openstacklocal."
"""The domain that guests are told by DHCP, whatever their networks' are, as of Neutron's agent."""

_KEYWORD = re.compile(f"<({'|'.join(KEYWORDS)})>")
_NO_LABEL = re.compile("[^a-z0-9-]+")


def host_name(fixed_ips: Sequence[Mapping[str, str]]) -> str:
    """Name a guest that has no name: ``host-10-0-0-5``, by an IPv4 address if it has one."""
    addresses = [ip["ip_address"] for ip in fixed_ips]
    return _of_address(next((one for one in addresses if "." in one), addresses[0]))


def keywords_of(context: Context, project_id: str) -> dict[str, str]:
    """Keep of a port's maker what domains with keywords need."""
    found = {"user_id": context.user_id, "user_name": context.user_name}
    if context.project_id == project_id:
        found["project_name"] = context.project_name
    return {key: value for key, value in found.items() if value}


def domain_for(port: Mapping[str, Any], network_domain: str) -> str | None:
    """The domain of a port's name, its own or its network's, with the keywords filled in; None where there
    is none, or a keyword that nothing is known for."""
    domain = port["dns_domain"] or network_domain
    if "<" not in domain:
        return domain or None
    known = {"project_id": port["project_id"], **(port["dns_keywords"] or {})}
    try:
        return _KEYWORD.sub(lambda found: _label(known[found[1]]), domain)
    except KeyError:
        return None


def assignment(port: Mapping[str, Any], network_domain: str) -> list[dict[str, str]]:
    """``dns_assignment``: the name of each of a port's addresses. A port without a name is in no domain but
    the one that guests are told."""
    name = port["dns_name"]
    domain = (domain_for(port, network_domain) if name else None) or GUESTS_DOMAIN
    found = []
    for ip in port["fixed_ips"]:
        host = name or _of_address(ip["ip_address"])
        whole = host if host.endswith(".") else f"{host}.{domain}"
        found.append({"ip_address": ip["ip_address"], "hostname": host, "fqdn": whole})
    return found


def _label(text: str) -> str:
    """A text as a part of a domain, where no other letters are allowed."""
    plain = _NO_LABEL.sub("-", text.lower()).strip("-")[:63].strip("-")
    if not plain:
        raise KeyError(text)
    return plain


def _of_address(address: str) -> str:
    return "host-" + address.replace(".", "-").replace(":", "-")
