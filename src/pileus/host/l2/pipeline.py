"""Flows of the integration bridge that are there whatever is plugged.

What guests may always do: ask for addresses by DHCP, resolve neighbours, find routers. What
secured guests may never do: answer DHCP, advertise or redirect routes, send tagged frames.
ICMPv6 types by RFC 4861 (neighbour discovery), RFC 2710 and RFC 3810 (multicast listeners).
"""

from __future__ import annotations

from collections.abc import Iterator

from pileus.drivers.openflow.flow import Flow
from pileus.host.l2 import tables as t

_FAMILIES = ("ip", "ipv6")
_ICMPV6_OUT = (130, 131, 132, 133, 143)
"""Listener queries and reports, router solicitation. Neighbour solicitations and advertisements
are let out by SOURCE, which checks what they claim."""
_ICMPV6_IN = (130, 134, 135, 136)
_UNTRACKED = f"{t.PROFILE}=0x{t.STATELESS:x}/0x{t.STATELESS:x}"


def _flow(table: int, priority: int, match: str, actions: str) -> Flow:
    return Flow(table, priority, match, actions, t.BRIDGE_COOKIE)


def integration_flows() -> list[Flow]:
    """The constant part of the pipeline that ``tables`` draws."""
    return [*_defaults(), *_guard(), *_egress(), *_ingress()]


def _defaults() -> Iterator[Flow]:
    for table in (t.CLASSIFY, t.GUARD, t.SOURCE, t.EGRESS, t.EGRESS_ACCEPT, t.SWITCH, t.DELIVER, t.INGRESS):
        yield _flow(table, 0, "", "drop")
    for table in (t.SERVICES, t.FLOOD, t.INGRESS_ACCEPT):
        yield _flow(table, 0, "", "drop")
    # Two hundred guests that start together ask two hundred times for routers and addresses: each
    # question that went to all the others would be tracked two hundred times.
    services = f"resubmit(,{t.SERVICES})"
    for question in (
        "udp,tp_src=68,tp_dst=67",
        "udp6,tp_src=546,tp_dst=547",
        *(f"icmp6,icmp_type={kind}" for kind in (131, 132, 133, 143)),
    ):
        yield _flow(t.SWITCH, 16, f"{question},dl_dst={t.MULTICAST}", services)


def _guard() -> Iterator[Flow]:
    yield _flow(t.GUARD, 1000, "vlan_tci=0x1000/0x1000", "drop")
    yield _flow(t.GUARD, 900, "udp,tp_src=67,tp_dst=68", "drop")
    yield _flow(t.GUARD, 900, "udp6,tp_src=547,tp_dst=546", "drop")
    for kind in (134, 137):
        yield _flow(t.GUARD, 900, f"icmp6,icmp_type={kind}", "drop")
    # No address yet, so nothing that SOURCE could check; GUARD has seen the MAC address.
    switch = f"resubmit(,{t.SWITCH})"
    yield _flow(t.SOURCE, 90, "udp,nw_src=0.0.0.0,nw_dst=255.255.255.255,tp_src=68,tp_dst=67", switch)
    for kind in (131, 133, 143):
        yield _flow(t.SOURCE, 90, f"icmp6,ipv6_src=::,icmp_type={kind}", switch)
    # A neighbour advertisement, or a solicitation from nowhere, that no port's flow vouches for.
    yield _flow(t.SOURCE, 80, "icmp6,icmp_type=136", "drop")


def _egress() -> Iterator[Flow]:
    switch = f"resubmit(,{t.SWITCH})"
    yield _flow(t.EGRESS, 90, "udp,tp_src=68,tp_dst=67", switch)
    yield _flow(t.EGRESS, 90, "udp6,tp_src=546,tp_dst=547", switch)
    for kind in (*_ICMPV6_OUT, 135):
        yield _flow(t.EGRESS, 90, f"icmp6,icmp_type={kind}", switch)
    yield from _state(t.EGRESS, t.EGRESS_STATE, t.EGRESS_RULES, switch)
    yield from _accept(t.EGRESS_ACCEPT, switch)


def _ingress() -> Iterator[Flow]:
    output = f"resubmit(,{t.OUTPUT_TABLE})"
    yield _flow(t.OUTPUT_TABLE, 0, "", f"output:{t.OUTPUT}")
    yield _flow(t.INGRESS, 90, "arp", output)
    yield _flow(t.INGRESS, 90, "udp,tp_src=67,tp_dst=68", output)
    yield _flow(t.INGRESS, 90, "udp6,tp_src=547,tp_dst=546", output)
    for kind in _ICMPV6_IN:
        yield _flow(t.INGRESS, 90, f"icmp6,icmp_type={kind}", output)
    yield from _state(t.INGRESS, t.INGRESS_STATE, t.INGRESS_RULES, output)
    yield from _accept(t.INGRESS_ACCEPT, output)


def _state(entry: int, state: int, rules: int, onward: str) -> Iterator[Flow]:
    """Through the device's own zone; replies and what relates to a connection pass, unless it is cut."""
    for family in _FAMILIES:
        yield _flow(entry, 50, family, f"ct(table={state},zone={t.ZONE})")
        yield _flow(state, 90, f"ct_state=+trk+inv,{family}", "drop")
        yield _flow(state, 80, f"ct_state=+trk+rel-inv,ct_mark=0x0,{family}", onward)
        yield _flow(state, 80, f"ct_state=+trk+est+rpl-inv,ct_mark=0x0,{family}", onward)
        yield _flow(state, 70, f"ct_state=+trk+est+rpl-inv,{family}", "drop")
        yield _flow(state, 60, f"ct_state=+trk+new-inv,{family}", f"resubmit(,{rules})")
        yield _flow(state, 60, f"ct_state=+trk+est-rpl-inv,{family}", f"resubmit(,{rules})")
        # No rule (any more): the mark cuts the replies, too.
        cut = f"ct(commit,zone={t.ZONE},exec(set_field:0x1->ct_mark))"
        yield _flow(rules, 10, f"ct_state=+trk+est,ct_mark=0x0,{family}", cut)
    for family in _FAMILIES:
        yield _flow(entry, 60, f"{family},{_UNTRACKED}", f"resubmit(,{rules})")
    # What the sender's own connection tracking said of the packet is nothing to this device.
    yield _flow(rules, 20, _UNTRACKED, "drop")
    yield _flow(state, 0, "", "drop")
    yield _flow(rules, 0, "", "drop")


def _accept(accept: int, onward: str) -> Iterator[Flow]:
    yield _flow(accept, 95, _UNTRACKED, onward)
    for family in _FAMILIES:
        new = f"ct(commit,zone={t.ZONE})"
        recommit = f"ct(commit,zone={t.ZONE},exec(set_field:0->ct_mark))"
        yield _flow(accept, 90, f"ct_state=+trk+new,{family}", f"{new},{onward}")
        yield _flow(accept, 80, f"ct_state=+trk+est,ct_mark=0x1,{family}", f"{recommit},{onward}")
        yield _flow(accept, 70, f"ct_state=+trk+est,{family}", onward)
