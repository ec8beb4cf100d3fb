"""Flows of local IPs: addresses that lead to a port on this host for those who are here. Pure.

Who asks for the address is told the port's hardware address, whoever has it elsewhere. Packets to it go to
the port, with the port's own address in its place, and answers come from the local one: the translation is
kept in a zone of connection tracking, of the network's (what devices' own zones see is untranslated)::

    SWITCH ─(from here, to the local IP)─► zone, destination NAT ─► LOCAL_IP ─► SWITCH ─► the port
    SWITCH ─(from the port)──────────────► zone, NAT back ────────► LOCAL_IP ─► SWITCH ─► ...

The port itself, and other hosts, reach whoever has the address otherwise: their packets are marked as having
passed here, and switched as without these flows.
"""

from __future__ import annotations

from collections.abc import Iterator

from pileus.drivers.openflow.flow import Flow
from pileus.host.l2 import tables as t
from pileus.host.l2.answers import arp_answer
from pileus.host.l2.devices import Wired
from pileus.wire.switch import LocalIP

LOCAL_IP = 64
PASSED = "reg13"
"""Whether a packet has been here already."""
_ONWARD = f"set_field:1->{PASSED},resubmit(,{t.SWITCH})"
Parts = tuple[int, int, str, str]


def local_ip_base() -> list[Flow]:
    """Switch what has been translated."""
    return [Flow(LOCAL_IP, 0, "", f"resubmit(,{t.SWITCH})", t.BRIDGE_COOKIE)]


def local_ip_flows(wired: Wired, outer: tuple[int, ...]) -> list[Flow]:
    """The flows of a port's local IPs. ``outer``: the OpenFlow ports by which frames come from elsewhere."""
    return [
        Flow(*parts, t.DEVICE_COOKIE)
        for one in wired.details.local_ips
        if ":" not in one.local_ip_address and ":" not in one.fixed_ip
        for parts in _parts(wired, one, outer)
    ]


def _parts(wired: Wired, one: LocalIP, outer: tuple[int, ...]) -> Iterator[Parts]:
    here = f"{t.NETWORK}=0x{wired.vlan:x},{PASSED}=0x0"
    mac, address = wired.details.mac_address.lower(), one.local_ip_address
    zone = t.LOCAL_IP_ZONE + wired.vlan
    asked, sent = f"arp,{here},arp_op=1,arp_tpa={address}", f"ip,{here},nw_dst={address}"
    told = f"arp,{here},arp_spa={address}"
    yield t.SWITCH, 45, asked, arp_answer(mac, address)
    if one.passthrough:
        yield t.SWITCH, 45, sent, f"set_field:{mac}->eth_dst,{_ONWARD}"
    else:
        to_port = f"ct(commit,zone={zone},nat(dst={one.fixed_ip}),table={LOCAL_IP})"
        yield t.SWITCH, 45, sent, f"set_field:{mac}->eth_dst,set_field:1->{PASSED},{to_port}"
        back = f"set_field:1->{PASSED},ct(zone={zone},nat,table={LOCAL_IP})"
        yield t.SWITCH, 45, f"ip,{here},{_from(wired)},nw_src={one.fixed_ip}", back
    # Announcements of its owner elsewhere are for those on other hosts, and for the port.
    for number in outer:
        yield t.SWITCH, 46, f"{asked},in_port={number}", _ONWARD
        yield t.SWITCH, 46, f"{sent},in_port={number}", _ONWARD
        yield t.SWITCH, 47, f"{told},in_port={number}", "drop"
        yield t.SWITCH, 48, f"{told},arp_tpa={one.fixed_ip},in_port={number}", _ONWARD
    for match in (asked, sent):
        yield t.SWITCH, 46, f"{match},{_from(wired)}", _ONWARD


def _from(wired: Wired) -> str:
    """The port as the sender; its own hardware address tells it from others of its trunk."""
    return f"in_port={wired.ofport},dl_src={wired.details.mac_address.lower()}"
