"""Gateway machines as the server tells their agent of them, on a simulated hypervisor."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace
from tests.unit.l3.scene import inner, outer, router

from pileus.drivers.libvirt.domain import DomainSpec, Interface
from pileus.wire.dhcp import DhcpHost, DhcpNetwork, DhcpSubnet, HostRoute, PortAddress, ServicePort
from pileus.wire.gateway import GatewayMachine
from pileus.wire.l3 import RouterPort, RouterSubnet

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


def six(number: int, mode: str | None, *, address_mode: str | None = None) -> tuple[RouterPort, DhcpNetwork]:
    """An interface of IPv6 in a mode, with what is served there."""
    prefix, subnet_id = f"2001:db8:{number}::", f"six{number}"
    own = PortAddress(f"{prefix}1", subnet_id)
    port = inner(
        number,
        port=ServicePort(
            f"{number:08x}-qr00-4000-8000-000000000001", f"fa:16:3e:{number:02x}:aa:01", (own,), 1450
        ),
        subnets=(RouterSubnet(subnet_id, f"{prefix}/64", f"{prefix}1", mode),),
    )
    subnet = DhcpSubnet(
        subnet_id=subnet_id,
        cidr=f"{prefix}/64",
        ip_version=6,
        enable_dhcp=True,
        gateway_ip=f"{prefix}1",
        ipv6_ra_mode=mode,
        ipv6_address_mode=address_mode or mode,
        gateway_is_router=True,
    )
    host = DhcpHost(
        port_id=f"guest-{number}",
        mac_address=f"fa:16:3e:{number:02x}:cc:01",
        addresses=(PortAddress(f"{prefix}100", subnet_id),),
        hostname="guest",
    )
    return port, served(port, number, subnets=(subnet,), hosts=(host,))


def machine_of_six(*several: tuple[RouterPort, DhcpNetwork], **changes: Any) -> GatewayMachine:
    """A machine with these interfaces, and a gateway of both versions."""
    outside = outer(
        subnets=(
            RouterSubnet("ext", "172.24.4.0/24", "172.24.4.1"),
            RouterSubnet("ext6", "2001:db8:f::/64", "2001:db8:f::1"),
        )
    )
    held = (*outside.port.addresses, PortAddress("2001:db8:f::101", "ext6"))
    outside = replace(outside, port=replace(outside.port, addresses=held))
    interfaces = tuple(port for port, _ in several)
    return GatewayMachine(
        server_id(1),
        router(interfaces=interfaces, gateway=outside, **changes),
        tuple(one for _, one in several),
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
