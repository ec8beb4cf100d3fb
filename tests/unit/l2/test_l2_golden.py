"""The flow tables of a small node, whole: a change of the pipeline shows as a difference of these files."""

from __future__ import annotations

from collections.abc import Callable

from pileus.wire.qos import PacketRateLimit, PortQos
from pileus.wire.switch import AddressPair, FixedIP, RateLimit, SecurityRule, Segment

from .scene import DEFAULT_RULES, SSH, device, group, mac, model, network, plug, view
from .test_l2_plan import converge


def test_flow_tables(golden: Callable[[str, str], None]) -> None:
    devices = [
        device(
            1,
            rate_limit=RateLimit("q", 1000, 100),
            qos=PortQos(
                ingress=RateLimit("q", 2000, 0),
                egress_packets=PacketRateLimit(1),
                ingress_packets=PacketRateLimit(2, 1),
                dscp_mark=46,
            ),
        ),
        device(
            2,
            fixed_ips=(FixedIP("10.0.0.2", "s"), FixedIP("fd00::2", "s6")),
            security_group_ids=("default", "web"),
            allowed_address_pairs=(AddressPair("10.7.0.0/16", mac(77)),),
        ),
        device(
            3,
            "wire",
            port_security_enabled=False,
            qos=PortQos(ingress_packets=PacketRateLimit(3), dscp_mark=8),
        ),
        device(4, "flat", device_owner="network:dhcp"),
        device(5, "flat", security_group_ids=()),
        device(6, admin_state_up=False),
        device(8, port_security_enabled=False, security_group_ids=(), quarantined=True),
    ]
    networks = [
        network(remote=2),
        network("wire", Segment("vlan", "physnet1", 1234)),
        network("flat", Segment("flat", "physnet1")),
    ]
    groups = [
        group(members=("10.0.0.1", "10.0.0.2", "fd00::2")),
        group(
            "web",
            (
                *DEFAULT_RULES,
                SSH,
                SecurityRule("w", "ingress", "IPv4", "tcp", 80, 90, "203.0.113.0/24"),
                SecurityRule("x", "egress", "IPv6", "icmp", 128, 0),
            ),
        ),
    ]
    _, _, flows = converge(
        model(devices, networks, groups), view([plug(n) for n in range(1, 9)]), metered=True
    )
    for bridge, table in flows.items():
        lines = sorted(table.values(), key=lambda f: (f.table, -f.priority, f.match))
        golden(f"l2/{bridge}.flows", "".join(f"{flow}\n" for flow in lines))
