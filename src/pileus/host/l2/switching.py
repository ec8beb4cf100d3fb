"""Flows of a network: on the integration bridge, on the tunnel bridge, on a physical network's bridge.

Between the bridges a frame wears its network's local VLAN. On br-int its way in from a
physical network, flooding, and what to do with destinations nobody here has; on br-tun the
translation to the segment and who is behind which tunnel (L2 population, no learning); on a
physical bridge the translation to the wire's VLAN, and NORMAL switching there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from pileus.drivers.openflow.flow import Flow
from pileus.drivers.openflow.memos import MEMOS
from pileus.host.l2 import guest_tags
from pileus.host.l2 import tables as t
from pileus.host.l2.devices import Wired, deliver, is_multicast, sources
from pileus.host.l2.rules import is_secured
from pileus.wire.switch import NetworkDetails, Segment

_TUNNEL_TABLES = {"gre": t.TUN_GRE, "vxlan": t.TUN_VXLAN}
_UNTAGGED = "vlan_tci=0x0000/0x1fff"


class Joint(msgspec.Struct, frozen=True):
    """OpenFlow numbers of the two ends of what joins br-int to another bridge."""

    inner: int
    outer: int


class LocalNetwork(msgspec.Struct, frozen=True):
    """A network with devices here. ``joint`` leads to the tunnel bridge or to its physical network's
    bridge, None when this node can't carry it."""

    details: NetworkDetails
    vlan: int
    devices: tuple[Wired, ...]
    joint: Joint | None


def is_tunnelled(network: NetworkDetails) -> bool:
    """Whether the network's frames go to other nodes through tunnels."""
    return network.segment.network_type in _TUNNEL_TABLES


def network_flows(network: LocalNetwork) -> list[Flow]:
    """On br-int: from outside, to everybody, to unknown destinations."""
    return [Flow(*parts, t.NETWORK_COOKIE) for parts in _switch_parts(network)]


def _switch_parts(network: LocalNetwork) -> Iterator[tuple[int, int, str, str]]:
    register = f"{t.NETWORK}=0x{network.vlan:x}"
    beyond = outward(network)
    if network.joint is not None and not is_tunnelled(network.details):
        match, entering = arrival(network)
        yield t.CLASSIFY, 90, match, ",".join(entering)
    if guest_tags.passes_tags(network.details):
        yield from guest_tags.network_parts(network.vlan)
    everybody = [step for wired in network.devices for step in deliver(wired)]
    yield t.SWITCH, 15, f"{register},dl_dst={t.MULTICAST}", f"resubmit(,{t.FLOOD})"
    yield t.FLOOD, 10, register, ",".join([*everybody, *beyond]) or "drop"
    trusting = [wired for wired in network.devices if not is_secured(wired.details)]
    services = [step for wired in trusting for step in deliver(wired)]
    yield t.SERVICES, 10, register, ",".join([*services, *beyond]) or "drop"
    # Without port security a guest may have others behind it, whose addresses nobody knows.
    unknown = [
        step
        for wired in trusting
        if not wired.details.device_owner.startswith("network:")
        for step in deliver(wired)
    ]
    yield t.SWITCH, 10, register, ",".join([*unknown, *beyond]) or "drop"
    for wired in network.devices:
        if wired.details.replicated:
            # Which of the hosts is active is not known here, and is never the switch's to find out.
            everywhere = ",".join([*deliver(wired), *beyond])
            yield t.SWITCH, 20, f"{register},dl_dst={wired.details.mac_address.lower()}", everywhere
            for address in (ip.ip_address for ip in wired.details.fixed_ips if ":" not in ip.ip_address):
                asked = f"arp,{register},dl_dst=ff:ff:ff:ff:ff:ff,arp_tpa={address},arp_op=1"
                yield t.SWITCH, 17, asked, everywhere
    for mac_address, claimants in _shared_addresses(network.devices).items():
        steps = [step for wired in claimants for step in deliver(wired)]
        yield t.SWITCH, 18, f"{register},dl_dst={mac_address}", ",".join([*steps, *beyond])


def arrival(network: LocalNetwork) -> tuple[str, tuple[str, ...]]:
    """Match the frames of a network that a physical one carries as they come from there, with the actions
    that make them the network's."""
    assert network.joint is not None
    vlan_id = network.details.segment.segmentation_id
    wire = _UNTAGGED if vlan_id is None else f"dl_vlan={vlan_id}"
    pop = () if vlan_id is None else ("pop_vlan",)
    steps = (*pop, f"set_field:0x{network.vlan:x}->{t.NETWORK}", f"resubmit(,{t.SWITCH})")
    return f"in_port={network.joint.inner},{wire}", steps


def outward(network: LocalNetwork) -> list[str]:
    """The actions that send a frame to the network's other hosts. Last among the actions, since the frame is
    tagged from here on."""
    if network.joint is None:
        return []
    return [
        "push_vlan:0x8100",
        f"set_field:{0x1000 + network.vlan}->vlan_vid",
        f"output:{network.joint.inner}",
    ]


def _shared_addresses(devices: Sequence[Wired]) -> dict[str, list[Wired]]:
    """MAC addresses that devices may use beside their own: whoever of them has it now shall hear."""
    found: dict[str, list[Wired]] = {}
    for wired in devices:
        if wired.details.allowed_address_pairs and is_secured(wired.details):
            for mac_address in sources(wired.details):
                if mac_address != wired.details.mac_address.lower() and not is_multicast(mac_address):
                    found.setdefault(mac_address, []).append(wired)
    return found


def physical_flows(segment: Segment, vlan: int, joint: Joint, qinq: bool = False) -> list[Flow]:
    """On the physical network's bridge: the local VLAN becomes the wire's."""
    vlan_id = segment.segmentation_id
    translate = "pop_vlan" if vlan_id is None else guest_tags.to_wire(vlan_id, service=qinq)
    match = f"in_port={joint.outer},dl_vlan={vlan}"
    return [Flow(t.CLASSIFY, 4, match, f"{translate},NORMAL", t.NETWORK_COOKIE)]


def physical_base(outer: int) -> list[Flow]:
    """A physical bridge switches as any does; what br-int sends untranslated is dropped."""
    return [
        Flow(t.CLASSIFY, 0, "", "NORMAL", t.BRIDGE_COOKIE),
        Flow(t.CLASSIFY, 2, f"in_port={outer}", "drop", t.BRIDGE_COOKIE),
    ]


def joint_base(inner: int, tunnels: bool) -> list[Flow]:
    """On br-int: what comes from the tunnel bridge wears the local VLAN; from a physical bridge only
    what a network's own flow translates comes in."""
    if not tunnels:
        return [Flow(t.CLASSIFY, 2, f"in_port={inner}", "drop", t.BRIDGE_COOKIE)]
    actions = f"move:OXM_OF_VLAN_VID[]->NXM_NX_REG6[0..11],pop_vlan,resubmit(,{t.SWITCH})"
    match = f"in_port={inner},vlan_tci=0x1000/0x1000"
    return [Flow(t.CLASSIFY, 90, match, actions, t.BRIDGE_COOKIE)]


def tunnel_base(patch: int, tunnel_ports: Mapping[tuple[str, str], int], arp_responder: bool) -> list[Flow]:
    """On br-tun: outward from br-int, inward from each tunnel, and never from tunnel to tunnel."""

    def flow(table: int, priority: int, match: str, actions: str) -> Flow:
        return Flow(table, priority, match, actions, t.BRIDGE_COOKIE)

    flows = [
        flow(t.TUN_CLASSIFY, 1, f"in_port={patch}", f"resubmit(,{t.TUN_OUTWARD})"),
        flow(t.TUN_OUTWARD, 1, f"dl_dst={t.MULTICAST}", f"resubmit(,{t.TUN_FLOOD})"),
        flow(t.TUN_OUTWARD, 0, "", f"resubmit(,{t.TUN_UNICAST})"),
        flow(t.TUN_UNICAST, 0, "", f"resubmit(,{t.TUN_FLOOD})"),
        flow(t.TUN_ARP, 0, "", f"resubmit(,{t.TUN_FLOOD})"),
        *(flow(table, 0, "", "drop") for table in (t.TUN_CLASSIFY, t.TUN_GRE, t.TUN_VXLAN, t.TUN_FLOOD)),
    ]
    if arp_responder:
        match = "arp,dl_dst=ff:ff:ff:ff:ff:ff,arp_op=1"
        flows.append(flow(t.TUN_OUTWARD, 2, match, f"resubmit(,{t.TUN_ARP})"))
    for (tunnel_type, _), ofport in tunnel_ports.items():
        onward = f"resubmit(,{_TUNNEL_TABLES[tunnel_type]})"
        flows.append(flow(t.TUN_CLASSIFY, 1, f"in_port={ofport}", onward))
    return flows


def tunnel_flows(
    network: NetworkDetails,
    vlan: int,
    joint: Joint,
    tunnel_ports: Mapping[tuple[str, str], int],
    arp_responder: bool,
) -> list[Flow]:
    """On br-tun: into the segment and out of it, each known remote address to its own tunnel."""
    # Behind a tag of a guest's an address may be another guest's: only he answers.
    arp_responder = arp_responder and not guest_tags.passes_tags(network)
    segment = network.segment
    tunnel_id = segment.segmentation_id or 0
    flows = [
        Flow(
            _TUNNEL_TABLES[segment.network_type],
            1,
            f"tun_id=0x{tunnel_id:x}",
            f"push_vlan:0x8100,set_field:{0x1000 + vlan}->vlan_vid,output:{joint.outer}",
            t.NETWORK_COOKIE,
        )
    ]
    ports: set[int] = set()
    ways: dict[str, set[int]] = {}
    answered: set[str] = set()
    for entry in network.forwarding:
        ofport = tunnel_ports.get((segment.network_type, entry.tunneling_ip))
        if ofport is None:
            continue
        ports.add(ofport)
        ways.setdefault(entry.mac_address.lower(), set()).add(ofport)
        for address in entry.ip_addresses if arp_responder else ():
            if ":" not in address and "/" not in address and address not in answered:
                answered.add(address)
                flows.append(_arp_answer(vlan, address, entry.mac_address.lower()))
    flows += [_unicast(vlan, mac, tunnel_id, *sorted(numbers)) for mac, numbers in ways.items()]
    if ports:
        outputs = ",".join(f"output:{ofport}" for ofport in sorted(ports))
        actions = f"pop_vlan,set_field:0x{tunnel_id:x}->tun_id,{outputs}"
        flows.append(Flow(t.TUN_FLOOD, 1, f"dl_vlan={vlan}", actions, t.NETWORK_COOKIE))
    return flows


@MEMOS.remember(1 << 15)
def _unicast(vlan: int, mac_address: str, tunnel_id: int, *ofports: int) -> Flow:
    """To the host that has the address; a port of a router of high availability is on several."""
    outputs = ",".join(f"output:{ofport}" for ofport in ofports)
    actions = f"pop_vlan,set_field:0x{tunnel_id:x}->tun_id,{outputs}"
    return Flow(t.TUN_UNICAST, 1, f"dl_vlan={vlan},dl_dst={mac_address}", actions, t.NETWORK_COOKIE)


@MEMOS.remember(1 << 15)
def _arp_answer(vlan: int, address: str, mac_address: str) -> Flow:
    """The request turned into its own answer (RFC 826), back to where it came from."""
    actions = (
        "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]",
        f"set_field:{mac_address}->eth_src",
        "set_field:2->arp_op",
        "move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[]",
        "move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[]",
        f"set_field:{mac_address}->arp_sha",
        f"set_field:{address}->arp_spa",
        "IN_PORT",
    )
    match = f"arp,dl_vlan={vlan},arp_tpa={address}"
    return Flow(t.TUN_ARP, 1, match, ",".join(actions), t.NETWORK_COOKIE)
