"""Readings of the desired state that all who answer DHCP share. Pure."""

from __future__ import annotations

import ipaddress
import re

from pileus.wire.dhcp import DhcpOption, DhcpSubnet

_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_OPTION = re.compile(r"[a-z0-9-]+")


def mode_of(subnet: DhcpSubnet) -> str | None:
    """How addresses of a subnet are given: None where guests make their own, or ask somebody else."""
    if not subnet.enable_dhcp:
        return None
    if subnet.ip_version == 4:
        return "stateful"
    if subnet.ipv6_address_mode == "dhcpv6-stateless":
        return "stateless"
    if subnet.ipv6_address_mode == "dhcpv6-stateful":
        return "stateful"
    # Neither mode set: addresses are given, though no router of ours tells guests to ask.
    return "stateful" if subnet.ipv6_address_mode is None and subnet.ipv6_ra_mode is None else None


def resolvers_of(subnet: DhcpSubnet, server: str | None) -> tuple[str, ...]:
    """Those of the subnet, or the server itself: it knows the names of its guests. The one unspecified
    address asks for none to be told (Networking guide, "DNS resolution for instances")."""
    if not subnet.dns_nameservers:
        return (server,) if server is not None else ()
    if len(subnet.dns_nameservers) == 1 and ipaddress.ip_address(subnet.dns_nameservers[0]).is_unspecified:
        return ()
    return subnet.dns_nameservers


def is_tellable(option: DhcpOption) -> bool:
    """Whether an option has the form of one, and hides no line of another's."""
    return bool(_OPTION.fullmatch(option.name)) and option.value.isprintable()


def is_label(name: str) -> bool:
    """Whether it is a host's name without a domain (RFC 1123)."""
    return _LABEL.fullmatch(name) is not None


def plain_domain(name: str) -> str | None:
    """A domain without its last dot; None: it is none."""
    plain = name.removesuffix(".")
    return plain if plain and all(map(is_label, plain.split("."))) else None
