"""Routers as the server tells the L3 agent of them."""

from __future__ import annotations

from typing import Any

from pileus.wire.dhcp import PortAddress, ServicePort
from pileus.wire.l3 import FloatingIP, RouterDetails, RouterPort, RouterSubnet

GATEWAY = "qg-000000gw-00"


def router_id(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-00000000000b"


def inner(number: int = 1, **changes: Any) -> RouterPort:
    fields: dict[str, Any] = {
        "port": ServicePort(
            f"{number:08x}-qr00-4000-8000-000000000001",
            f"fa:16:3e:{number:02x}:aa:01",
            (PortAddress(f"10.{number}.0.1", f"s{number}"),),
            mtu=1450,
        ),
        "network_id": f"net-{number}",
        "subnets": (RouterSubnet(f"s{number}", f"10.{number}.0.0/24", f"10.{number}.0.1"),),
    }
    return RouterPort(**(fields | changes))


def outer(number: int = 1, **changes: Any) -> RouterPort:
    fields: dict[str, Any] = {
        "port": ServicePort(
            f"{number:06x}gw-0000-4000-8000-000000000001",
            f"fa:16:3e:{number:02x}:bb:01",
            (PortAddress(f"172.24.4.{100 + number}", "ext"),),
        ),
        "network_id": "public",
        "subnets": (RouterSubnet("ext", "172.24.4.0/24", "172.24.4.1"),),
    }
    return RouterPort(**(fields | changes))


def floating(number: int, host: int = 10, network: int = 1) -> FloatingIP:
    return FloatingIP(f"fip-{number}", f"172.24.4.{number}", f"10.{network}.0.{host}", f"port-{host}")


def router(number: int = 1, **changes: Any) -> RouterDetails:
    fields: dict[str, Any] = {
        "router_id": router_id(number),
        "name": f"router-{number}",
        "admin_state_up": True,
        "gateway": outer(number),
        "interfaces": (inner(number),),
    }
    return RouterDetails(**(fields | changes))
