"""Flows of one plugged device: who it is, what it may claim to be, how it is reached."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

import msgspec

from pileus.core.addresses import link_local
from pileus.drivers.openflow.flow import Flow
from pileus.host.l2 import guest_tags, qos
from pileus.host.l2 import tables as t
from pileus.host.l2.copies import Copies
from pileus.host.l2.qos import Parts
from pileus.host.l2.rules import is_secured
from pileus.wire.switch import DeviceDetails


class Wired(msgspec.Struct, frozen=True):
    """A device as this switch carries it. ``metered``: an OpenFlow meter limits its rate."""

    details: DeviceDetails
    interface: str
    ofport: int
    vlan: int
    number: int
    profile: int
    metered: bool = False
    tag: int = 0
    """The guest's VLAN of a subport, whose frames wear it on the interface; 0: they are untagged there."""
    passes_tags: bool = False
    """Frames that it has tagged pass."""
    shared: bool = False
    """Several ports of a trunk use the interface: the sender is told by its number as well."""
    copies: Copies = Copies()
    """Who else gets its packets, and whose it gets."""


def is_multicast(mac_address: str) -> bool:
    """Whether it is an address of many, the broadcast address among them (IEEE 802, I/G bit)."""
    return bool(int(mac_address[:2], 16) & 1)


def sources(device: DeviceDetails) -> dict[str, list[str]]:
    """MAC address to the addresses and prefixes that the device may use with it."""
    pairs: dict[str, dict[str, None]] = {device.mac_address: {}}
    for fixed in device.fixed_ips:
        pairs[device.mac_address][fixed.ip_address] = None
    for pair in device.allowed_address_pairs:
        pairs.setdefault(pair.mac_address or device.mac_address, {})[pair.ip_address] = None
    for mac_address, addresses in pairs.items():
        addresses[link_local(mac_address)] = None
    return {mac.lower(): list(addresses) for mac, addresses in pairs.items()}


def device_flows(wired: Wired) -> list[Flow]:
    """All flows that are this device's alone."""
    return [_flow(*parts) for parts in _parts(wired)]


def dead_flows(ofports: tuple[int, ...]) -> list[Flow]:
    """Devices that nobody vouches for say nothing."""
    return [_flow(t.CLASSIFY, 100, f"in_port={ofport}", "drop") for ofport in ofports]


def plain_flows(ofports: tuple[int, ...]) -> list[Flow]:
    """Ports without a device, an operator's own: they take part in ordinary switching, untagged."""
    return [_flow(t.CLASSIFY, 10, f"in_port={ofport},vlan_tci=0x0000/0x1000", "NORMAL") for ofport in ofports]


def _flow(table: int, priority: int, match: str, actions: str) -> Flow:
    return Flow(table, priority, match, actions, t.DEVICE_COOKIE)


def _parts(wired: Wired) -> Iterator[Parts]:
    secured = is_secured(wired.details)
    yield from _classify(wired, secured)
    if wired.details.replicated:
        yield from _quiet(wired)
    if secured:
        for mac_address, addresses in sources(wired.details).items():
            yield from _source(sender(wired), mac_address, addresses)
            if wired.passes_tags:
                yield from guest_tags.device_parts(f"{sender(wired)},dl_src={mac_address}")
    yield from _delivery(wired, secured)


def _classify(wired: Wired, secured: bool) -> Iterator[Parts]:
    through = qos.sending(wired.number, wired.details, wired.metered)
    registers = [f"set_field:0x{wired.vlan:x}->{t.NETWORK}"]
    copied = wired.copies.sent
    if secured or copied or len(through) > 1:
        registers.insert(0, f"set_field:0x{wired.number:x}->{t.NUMBER}")
    if secured:
        registers.append(f"set_field:0x{wired.profile:x}->{t.PROFILE}")
    onward = f"resubmit(,{t.GUARD if secured else t.SWITCH})"
    if copied:
        onward = f"resubmit(,{t.TAP_OUT}),{onward}"
    if wired.tag:
        registers.insert(0, "pop_vlan")
        place = qos.Place(105, f"in_port={wired.ofport},dl_vlan={wired.tag}", sender(wired))
    else:
        place = qos.Place(100, f"in_port={wired.ofport}", sender(wired))
    yield from qos.classified(place, ",".join(registers), onward, wired.details, through)
    if wired.tag:
        match = f"in_port={wired.ofport},{t.NETWORK}=0x{wired.vlan:x}"
        yield t.ANSWER, 10, match, f"push_vlan:0x8100,set_field:{0x1000 + wired.tag}->vlan_vid,IN_PORT"


def sender(wired: Wired) -> str:
    """Match the frames of a device that CLASSIFY has seen."""
    number = f",{t.NUMBER}=0x{wired.number:x}" if wired.shared else ""
    return f"in_port={wired.ofport}{number}"


def _quiet(wired: Wired) -> Iterator[Parts]:
    """A host that stands by says nothing, not even which groups it listens to: switches beyond would learn
    the hardware address, which all hosts of the port have, at the wrong place."""
    for kind in (130, 131, 132, 143):
        yield t.CLASSIFY, 110, f"icmp6,in_port={wired.ofport},icmp_type={kind}", "drop"


def _source(sender: str, mac_address: str, addresses: list[str]) -> Iterator[Parts]:
    """Only these addresses with this MAC address: in Ethernet, ARP, IP and neighbour discovery."""
    origin = f"{sender},dl_src={mac_address}"
    switch, track = f"resubmit(,{t.SWITCH})", f"resubmit(,{t.EGRESS})"
    yield t.GUARD, 50, origin, f"resubmit(,{t.SOURCE})"
    for address in addresses:
        network = ipaddress.ip_network(address, strict=False)
        whole = network.prefixlen == network.max_prefixlen
        text = str(network.network_address) if whole else str(network)
        if network.version == 4:
            # A prefix of length 0 matches any address: then the field is left out.
            arp = f",arp_spa={text}" if network.prefixlen else ""
            source = f",nw_src={text}" if network.prefixlen else ""
            yield t.SOURCE, 70, f"arp,{origin}{arp},arp_sha={mac_address}", switch
            yield t.SOURCE, 70, f"ip,{origin}{source}", track
        else:
            source = f",ipv6_src={text}" if network.prefixlen else ""
            target = f",nd_target={text}" if network.prefixlen else ""
            yield t.SOURCE, 70, f"ipv6,{origin}{source}", track
            yield t.SOURCE, 85, f"icmp6,{origin},icmp_type=136{target}", switch
            # Asking whether an address is free (RFC 4862, duplicate address detection).
            yield t.SOURCE, 85, f"icmp6,{origin},ipv6_src=::,icmp_type=135{target}", switch


def deliver(wired: Wired) -> tuple[str, str]:
    """The two actions that bring a copy of a packet to a device."""
    return deliver_to(wired.number)


def deliver_to(number: int) -> tuple[str, str]:
    """The same by the device's number."""
    return f"set_field:0x{number:x}->{t.NUMBER}", f"resubmit(,{t.DELIVER})"


def _delivery(wired: Wired, secured: bool) -> Iterator[Parts]:
    network, number = f"{t.NETWORK}=0x{wired.vlan:x}", f"{t.NUMBER}=0x{wired.number:x}"
    here = ",".join(deliver(wired))
    if not wired.details.replicated:  # else its network's flows lead to the others, too
        yield t.SWITCH, 20, f"{network},dl_dst={wired.details.mac_address.lower()}", here
        yield from _questions(wired, network, here)
    through = qos.receiving(wired.number, wired.details)
    copied = bool(wired.copies.got)
    yield from qos.delivered(number, wired.ofport, through, copied)
    if not secured:
        direct = f"resubmit(,{t.OUTPUT_TABLE})" if through or copied else f"output:{wired.ofport}"
        yield t.DELIVER, 50, number, _tagged(wired.tag, direct)
        return
    judged = (
        f"set_field:0x{wired.profile:x}->{t.PROFILE},"
        f"set_field:0x{wired.ofport:x}->{t.OUTPUT_REGISTER},resubmit(,{t.INGRESS})"
    )
    yield t.DELIVER, 50, number, _tagged(wired.tag, judged)
    # A flooded frame does not come back to its sender: it would be judged as if it were incoming.
    yield t.DELIVER, 60, f"in_port={wired.ofport},{number}", "drop"


def _tagged(tag: int, actions: str) -> str:
    """As a subport's guest sees it; the frame is as before afterwards, for other receivers."""
    return f"push_vlan:0x8100,set_field:{0x1000 + tag}->vlan_vid,{actions},pop_vlan" if tag else actions


def _questions(wired: Wired, network: str, here: str) -> Iterator[Parts]:
    """Who asks for this device's address by broadcast asks this device alone, not all the others."""
    addresses = [fixed.ip_address for fixed in wired.details.fixed_ips]
    for address in (*addresses, link_local(wired.details.mac_address)):
        if ":" in address:
            yield t.SWITCH, 17, f"icmp6,{network},icmp_type=135,nd_target={address}", here
        else:
            asked = f"arp,{network},dl_dst=ff:ff:ff:ff:ff:ff,arp_tpa={address},arp_op=1"
            yield t.SWITCH, 17, asked, here
            # Its own announcement of the address (RFC 5227) is for everybody.
            yield t.SWITCH, 19, f"{asked},in_port={wired.ofport}", f"resubmit(,{t.FLOOD})"
