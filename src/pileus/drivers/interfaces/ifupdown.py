"""A host's network as ``/etc/network/interfaces``. (interfaces(5); openvswitch-switch's README.Debian;
bridge-utils-interfaces(5).)"""

from __future__ import annotations

from collections.abc import Iterator

from pileus.drivers.interfaces.checks import of_version
from pileus.drivers.interfaces.spec import OWNER, OWNER_KEY, Addressed, Bond, Bridge, HostNetwork, Vlan

Lines = list[str]


def render(network: HostNetwork) -> str:
    """Write the file. Bridges bring their ports up; bonds are made anew, since adding one is refused where it
    is there."""
    switches = network.switches()
    in_switches = {port: bridge.name for bridge in switches.values() for port in bridge.ports}
    in_bonds = {member for bond in network.bonds for member in bond.members}
    blocks = [["auto lo", "iface lo inet loopback"]]
    alone = [card for card in network.cards() if card not in in_switches and card not in in_bonds]
    blocks += [[f"auto {card}", f"iface {card} inet manual"] for card in alone]
    blocks += [_block(one, [f"auto {one.name}"], []) for one in network.interfaces]
    for vlan in network.kernel_vlans():
        more = [f"vlan-raw-device {vlan.link}", f"vlan-id {vlan.vlan_id}"]
        blocks.append(_block(vlan, [f"auto {vlan.name}"], more))
    blocks += [_bridge(network, bridge) for bridge in network.bridges]
    devices = {vlan.name for vlan in network.kernel_vlans()}
    blocks += [_port(card, name) for card, name in in_switches.items() if card not in devices]
    blocks += [_bond(bond) for bond in network.bonds]
    blocks += [_inner_vlan(vlan) for vlan in network.inner_vlans()]
    return "# Made by `pileus node network`.\n\n" + "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _bridge(network: HostNetwork, bridge: Bridge) -> Lines:
    if bridge.kind == "linux":
        members = " ".join(bridge.ports) or "none"
        more = [f"bridge_ports {members}", "bridge_stp off", "bridge_waitport 0", "bridge_fd 0"]
        return _block(bridge, [f"auto {bridge.name}"], more)
    devices = {vlan.name for vlan in network.kernel_vlans()}
    ports = [
        *(port for port in bridge.ports if port not in devices),
        *(bond.name for bond in network.bonds if bond.bridge == bridge.name),
        *(vlan.name for vlan in network.inner_vlans() if vlan.link == bridge.name),
    ]
    more = ["ovs_type OVSBridge"]
    if ports:
        more.append(f"ovs_ports {' '.join(ports)}")
    more.append(_label("Bridge"))
    for port in bridge.ports:
        if port in devices:  # one stanza can't both make a device and be a port: they run in the wrong order
            label = f"-- set Port {port} external_ids:{OWNER_KEY}={OWNER}"
            more.append(f"up ovs-vsctl --may-exist add-port $IFACE {port} {label}")
    return _block(bridge, [f"auto {bridge.name}"], more)


def _port(card: str, bridge: str) -> Lines:
    more = ["ovs_type OVSPort", f"ovs_bridge {bridge}", _label("Port")]
    return [f"allow-{bridge} {card}", f"iface {card} inet manual", *_indented(more)]


def _bond(bond: Bond) -> Lines:
    options = [f"bond_mode={bond.mode}", f"lacp={bond.lacp}"]
    options += [f"other_config:{key}={value}" for key, value in bond.other_config().items()]
    if bond.up_delay_ms:
        options.append(f"bond_updelay={bond.up_delay_ms}")
    if bond.down_delay_ms:
        options.append(f"bond_downdelay={bond.down_delay_ms}")
    more = [
        f"pre-up ovs-vsctl --if-exists del-port {bond.bridge} $IFACE",
        *([f"mtu {bond.mtu}"] if bond.mtu else []),
        "ovs_type OVSBond",
        f"ovs_bridge {bond.bridge}",
        f"ovs_bonds {' '.join(bond.members)}",
        f"ovs_options {' '.join(options)}",
        _label("Port"),
    ]
    return [f"allow-{bond.bridge} {bond.name}", f"iface {bond.name} inet manual", *_indented(more)]


def _inner_vlan(vlan: Vlan) -> Lines:
    more = ["ovs_type OVSIntPort", f"ovs_bridge {vlan.link}", f"ovs_options tag={vlan.vlan_id}"]
    return _block(vlan, [f"allow-{vlan.link} {vlan.name}"], [*more, _label("Port")])


def _label(table: str) -> str:
    return f"ovs_extra set {table} ${{IFACE}} external_ids:{OWNER_KEY}={OWNER}"


def _indented(lines: Lines) -> Lines:
    return [f"    {line}" for line in lines]


def _block(one: Addressed, first: Lines, more: Lines) -> Lines:
    """The stanzas of an interface: IPv4's, which says what the interface is, too, and IPv6's where needed."""
    lines = [*first, f"iface {one.name} inet {one.method}", *_indented([*_version4(one), *more])]
    if one.method6 != "manual":
        lines += [f"iface {one.name} inet6 {one.method6}", *_indented(list(_version6(one)))]
    return lines


def _version4(one: Addressed) -> Iterator[str]:
    if one.method == "static":
        first, *others = of_version(one, 4)
        yield f"address {first}"
        if one.gateway:
            yield f"gateway {one.gateway}"
        yield from (f"up ip addr add {address} dev $IFACE" for address in others)
    if one.mtu:
        # The method dhcp knows no option mtu.
        yield f"mtu {one.mtu}" if one.method != "dhcp" else f"pre-up ip link set dev $IFACE mtu {one.mtu}"
    yield from _dns(one)


def _version6(one: Addressed) -> Iterator[str]:
    if one.method6 == "static":
        first, *others = of_version(one, 6)
        yield f"address {first}"
        if one.gateway6:
            yield f"gateway {one.gateway6}"
        yield from (f"up ip addr add {address} dev $IFACE" for address in others)


def _dns(one: Addressed) -> Iterator[str]:
    if one.dns:
        yield f"dns-nameservers {' '.join(one.dns)}"
    if one.search:
        yield f"dns-search {' '.join(one.search)}"
