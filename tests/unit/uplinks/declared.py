"""A host's network with everything that can be declared."""

from __future__ import annotations

from pileus.drivers.interfaces.spec import Bond, Bridge, HostNetwork, Interface, Vlan

EVERYTHING = HostNetwork(
    interfaces=(
        Interface(
            name="eth0",
            method="static",
            method6="static",
            addresses=("192.0.2.7/24", "192.0.2.8/24", "2001:db8::7/64"),
            gateway="192.0.2.254",
            gateway6="2001:db8::1",
            dns=("192.0.2.53", "2001:db8::53"),
            search=("example.org",),
        ),
    ),
    bridges=(
        Bridge(name="br-ex", method="dhcp", method6="auto", mtu=9000, ports=("eth3",)),
        Bridge(name="br-lan", ports=("eth4.20",)),
        Bridge(name="brvlan10", kind="linux", ports=("eth4.10",)),
    ),
    bonds=(
        Bond(
            name="bond0",
            bridge="br-ex",
            members=("eth1", "eth2"),
            mode="balance-tcp",
            lacp="active",
            lacp_time="fast",
            up_delay_ms=200,
            mtu=9000,
        ),
        Bond(name="bond1", bridge="br-lan", members=("eth5", "eth6"), primary="eth6", down_delay_ms=100),
        Bond(name="bond2", bridge="br-lan", members=("eth7", "eth8"), mode="balance-slb"),
    ),
    vlans=(
        Vlan(name="eth4.10", link="eth4", vlan_id=10),
        Vlan(name="eth4.20", link="eth4", vlan_id=20),
        Vlan(name="storage", link="br-lan", vlan_id=300, method="static", addresses=("198.51.100.7/24",)),
        Vlan(name="mgmt", link="br-ex", vlan_id=4, method="dhcp", method6="dhcp"),
    ),
)
