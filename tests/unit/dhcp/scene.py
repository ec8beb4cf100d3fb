"""Networks as the server tells the DHCP agent of them."""

from __future__ import annotations

from typing import Any

from pileus.wire.dhcp import DhcpHost, DhcpNetwork, DhcpSubnet, HostRoute, PortAddress, ServicePort


def net_id(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-00000000000a"


def host(number: int, network: int = 1, **changes: Any) -> DhcpHost:
    fields: dict[str, Any] = {
        "port_id": f"{network:04x}{number:04x}-0000-4000-8000-000000000001",
        "mac_address": f"fa:16:3e:{network:02x}:00:{number:02x}",
        "addresses": (PortAddress(f"10.{network}.0.{number}", f"s{network}"),),
        "hostname": f"host-10-{network}-0-{number}",
    }
    return DhcpHost(**(fields | changes))


def subnet(network: int = 1, **changes: Any) -> DhcpSubnet:
    fields: dict[str, Any] = {
        "subnet_id": f"s{network}",
        "cidr": f"10.{network}.0.0/24",
        "ip_version": 4,
        "enable_dhcp": True,
        "gateway_ip": f"10.{network}.0.1",
        "dns_nameservers": ("9.9.9.9",),
        "host_routes": (HostRoute("192.168.0.0/16", f"10.{network}.0.250"),),
    }
    return DhcpSubnet(**(fields | changes))


def network(number: int = 1, *, hosts: int = 2, **changes: Any) -> DhcpNetwork:
    fields: dict[str, Any] = {
        "network_id": net_id(number),
        "admin_state_up": True,
        "mtu": 1450,
        "port": ServicePort(
            f"{number:08x}-dhcp-4000-8000-000000000001",
            f"fa:16:3e:{number:02x}:ff:01",
            (PortAddress(f"10.{number}.0.2", f"s{number}"),),
        ),
        "subnets": (subnet(number),),
        "hosts": tuple(host(n, number) for n in range(10, 10 + hosts)),
        "dns_domain": "cloud.example.",
    }
    return DhcpNetwork(**(fields | changes))
