"""Gateway machines as the server tells their agent of them, on a simulated hypervisor."""

from __future__ import annotations

from typing import Any

from tests.unit.l3.scene import inner, router

from pileus.drivers.libvirt.domain import DomainSpec, Interface
from pileus.wire.dhcp import DhcpHost, DhcpNetwork, DhcpSubnet, HostRoute, PortAddress
from pileus.wire.gateway import GatewayMachine
from pileus.wire.l3 import RouterPort

LEASE_S = 3600


def server_id(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-00000000000a"


def served(port: RouterPort, number: int = 1, **changes: Any) -> DhcpNetwork:
    """The network of an interface, with one guest."""
    fields: dict[str, Any] = {
        "network_id": port.network_id,
        "admin_state_up": True,
        "mtu": port.port.mtu,
        "port": port.port,
        "subnets": (
            DhcpSubnet(
                subnet_id=f"s{number}",
                cidr=f"10.{number}.0.0/24",
                ip_version=4,
                enable_dhcp=True,
                gateway_ip=f"10.{number}.0.1",
                gateway_is_router=True,
                host_routes=(HostRoute("169.254.169.254/32", f"10.{number}.0.2"),),
            ),
        ),
        "hosts": (
            DhcpHost(
                port_id=f"guest-{number}",
                mac_address=f"fa:16:3e:{number:02x}:cc:01",
                addresses=(PortAddress(f"10.{number}.0.100", f"s{number}"),),
                hostname="guest",
            ),
        ),
    }
    return DhcpNetwork(**(fields | changes))


def machine(number: int = 1, **changes: Any) -> GatewayMachine:
    """A machine with a gateway and one interface."""
    port = inner(number)
    return GatewayMachine(
        changes.pop("server", server_id(number)),
        router(number, interfaces=(port,), **changes),
        (served(port, number),),
    )


def domain(one: GatewayMachine, **changes: Any) -> DomainSpec:
    """Its virtual machine."""
    ports = [*one.router.interfaces, *([one.router.gateway] if one.router.gateway else [])]
    fields: dict[str, Any] = {
        "uuid": one.server_id,
        "name": f"pileus-{one.server_id}",
        "vcpus": 1,
        "memory_mib": 128,
        "interfaces": tuple(
            Interface(port_id=port.port.port_id, mac=port.port.mac_address, tap=f"tap{number}")
            for number, port in enumerate(ports)
        ),
        "guest_agent": True,
    }
    return DomainSpec(**(fields | changes))
