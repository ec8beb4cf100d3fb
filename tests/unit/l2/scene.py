"""A small cloud in values: what the tests of the switch agent's planner start from."""

from __future__ import annotations

from pileus.host.l2.model import Model
from pileus.host.l2.settings import BridgeSettings
from pileus.host.l2.view import BridgeView, InterfaceView, PortView, SwitchView
from pileus.wire.switch import (
    AddressGroupDetails,
    DeviceDetails,
    FixedIP,
    ForwardingEntry,
    NetworkDetails,
    SecurityGroupDetails,
    SecurityRule,
    Segment,
    TunnelEndpoint,
)

SETTINGS = BridgeSettings(
    host="n1",
    datapath_type="netdev",
    bridge_mappings=(("physnet1", "br-ex"),),
    tunneling_ip="192.0.2.1",
)


def mac(number: int) -> str:
    return f"fa:16:3e:00:{number >> 8:02x}:{number & 255:02x}"


def device(number: int, network_id: str = "net", **changes: object) -> DeviceDetails:
    values: dict[str, object] = {
        "port_id": f"port-{number}",
        "network_id": network_id,
        "mac_address": mac(number),
        "fixed_ips": (FixedIP(f"10.0.{number >> 8}.{number & 255}", "subnet", "10.0.0.0/16", "10.0.0.1"),),
        "security_group_ids": ("default",),
        "device_id": f"server-{number}",
        "device_owner": "compute:nova",
    }
    return DeviceDetails(**(values | changes))  # type: ignore[arg-type]


def network(network_id: str = "net", segment: Segment | None = None, remote: int = 0) -> NetworkDetails:
    return NetworkDetails(
        network_id,
        segment or Segment("vxlan", None, 100),
        forwarding=tuple(
            ForwardingEntry(mac(5000 + n), (f"10.0.200.{n}",), "n2", "192.0.2.2") for n in range(remote)
        ),
    )


DEFAULT_RULES = (
    SecurityRule("r1", "egress", "IPv4"),
    SecurityRule("r2", "egress", "IPv6"),
    SecurityRule("r3", "ingress", "IPv4", remote_group_id="default"),
    SecurityRule("r4", "ingress", "IPv6", remote_group_id="default"),
)
SSH = SecurityRule("r5", "ingress", "IPv4", "tcp", 22, 22, "0.0.0.0/0")


def group(
    group_id: str = "default",
    rules: tuple[SecurityRule, ...] = (*DEFAULT_RULES, SSH),
    members: tuple[str, ...] = (),
) -> SecurityGroupDetails:
    return SecurityGroupDetails(group_id, rules, members)


def model(
    devices: list[DeviceDetails],
    networks: list[NetworkDetails] | None = None,
    groups: list[SecurityGroupDetails] | None = None,
    address_groups: dict[str, tuple[str, ...]] | None = None,
) -> Model:
    members = tuple(fixed.ip_address for d in devices for fixed in d.fixed_ips)
    return Model(
        position=1,
        devices={d.port_id: d for d in devices},
        networks={n.network_id: n for n in networks or [network(remote=2)]},
        groups={g.security_group_id: g for g in groups or [group(members=members)]},
        address_groups={
            key: AddressGroupDetails(key, addresses) for key, addresses in (address_groups or {}).items()
        },
        tunnels=(TunnelEndpoint("n1", "192.0.2.1"), TunnelEndpoint("n2", "192.0.2.2")),
    )


def plug(number: int, ofport: int | None = None, **changes: object) -> PortView:
    """A guest's interface as a hypervisor leaves it on br-int."""
    name = f"tap{number}"
    interface = InterfaceView(
        name,
        external_ids={"iface-id": f"port-{number}", "attached-mac": mac(number)},
        ofport=100 + number if ofport is None else ofport,
    )
    return PortView(**({"name": name, "bridge": "br-int", "interface": interface} | changes))  # type: ignore[arg-type]


def view(ports: list[PortView]) -> SwitchView:
    """A switch on which nothing was done yet."""
    return SwitchView({"br-int": BridgeView("br-int")}, {port.name: port for port in ports})
