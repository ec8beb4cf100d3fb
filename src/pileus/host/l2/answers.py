"""Packets that the switch turns into their own answers, and how those go back. Pure.

An answer leaves by ANSWER: to where the question came from, with the tag that frames wear there.
"""

from __future__ import annotations

from collections.abc import Iterable

from pileus.drivers.openflow.flow import Flow
from pileus.host.l2 import tables as t

_BACK = f"resubmit(,{t.ANSWER})"


def answer_flows(joints: Iterable[int]) -> list[Flow]:
    """The way back: to a device as it is (a subport has a flow of its own), to another bridge with the local
    VLAN."""
    tagged = "push_vlan:0x8100,move:NXM_NX_REG6[0..11]->OXM_OF_VLAN_VID[0..11],IN_PORT"
    flows = [Flow(t.ANSWER, 0, "", "IN_PORT", t.BRIDGE_COOKIE)]
    # A flow that matches a solicitation can't name the field of an advertisement.
    told = f"move:NXM_OF_ETH_SRC[]->NXM_NX_ND_TLL[],{_BACK}"
    flows.append(Flow(t.ADVERTISED, 10, "icmp6,icmp_type=136,icmp_code=0", told, t.BRIDGE_COOKIE))
    flows.append(Flow(t.ADVERTISED, 0, "", "drop", t.BRIDGE_COOKIE))
    return flows + [Flow(t.ANSWER, 10, f"in_port={one}", tagged, t.BRIDGE_COOKIE) for one in joints]


def arp_answer(mac: str, address: str) -> str:
    """The request turned into its own answer (RFC 826)."""
    steps = (
        "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]",
        f"set_field:{mac}->eth_src",
        "set_field:2->arp_op",
        "move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[]",
        "move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[]",
        f"set_field:{mac}->arp_sha",
        f"set_field:{address}->arp_spa",
        _BACK,
    )
    return ",".join(steps)


def echo_answer(mac: str, address: str) -> str:
    """An echo request turned into its reply (RFC 792)."""
    steps = (
        "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]",
        f"set_field:{mac}->eth_src",
        "move:NXM_OF_IP_SRC[]->NXM_OF_IP_DST[]",
        f"set_field:{address}->ip_src",
        "set_field:64->nw_ttl",
        "set_field:0->icmp_type",
        _BACK,
    )
    return ",".join(steps)


def neighbour_answer(mac: str, address: str) -> str:
    """A neighbour solicitation with its sender's hardware address turned into its own answer, a router's (RFC
    4861, 7.2.4)."""
    steps = (
        "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]",
        f"set_field:{mac}->eth_src",
        "move:NXM_NX_IPV6_SRC[]->NXM_NX_IPV6_DST[]",
        f"set_field:{address}->ipv6_src",
        "set_field:255->nw_ttl",
        "set_field:136->icmpv6_type",
        # From a router; asked for; in the place of what was known.
        "set_field:0xe0000000->nd_reserved",
        "set_field:2->nd_options_type",
        f"resubmit(,{t.ADVERTISED})",
    )
    return ",".join(steps)


def echo_answer_v6(mac: str, address: str) -> str:
    """An echo request turned into its reply (RFC 4443, 4.2)."""
    steps = (
        "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]",
        f"set_field:{mac}->eth_src",
        "move:NXM_NX_IPV6_SRC[]->NXM_NX_IPV6_DST[]",
        f"set_field:{address}->ipv6_src",
        "set_field:64->nw_ttl",
        "set_field:129->icmpv6_type",
        _BACK,
    )
    return ",".join(steps)
