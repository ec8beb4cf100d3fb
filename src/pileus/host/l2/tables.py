"""The pipeline of the integration bridge and of the tunnel bridge: numbers and what they mean.

A packet on br-int, from left to right::

    CLASSIFY ─► GUARD ─► SOURCE ─► EGRESS ─► EGRESS_STATE ─► EGRESS_RULES ─► EGRESS_ACCEPT ─► SWITCH ─► ...
       │                (secured senders only)                                                  ▲
       └── from tunnels, physical networks, senders without port security ──────────────────────┘

    ... SWITCH ─► DELIVER ─► INGRESS ─► INGRESS_STATE ─► INGRESS_RULES ─► INGRESS_ACCEPT ─► the device
          ├────► FLOOD: all devices of the network, and out
          ├────► SERVICES: what asks for a router or a DHCP server goes to those only, and out
          └────► out: to the tunnel bridge or to a physical network's bridge, tagged with the local VLAN

What is sent to a distributed router goes from SWITCH to ROUTE and back, in another network (``routing``); to
the outside by a floating IP, and from there, through FLOATING_OUT and FLOATING_IN (``floating``); on the way
METERING and COUNTED count it (``metered``). FIT tells the agent of packets that are too long for where they
go.

Frames carry no tag inside (the network is in NETWORK); they are tagged on the way out and
untagged on the way in. Switching is by flows, not by learning: where a device is, is known.

QoS stands at both ends: CLASSIFY marks and meters what a device sends (POLICE, where two meters do),
OUTPUT_TABLE what it gets (and DELIVERED). Where a device is tapped, both ends lead through TAP_OUT and
TAP_IN (``taps``).

Registers say what a packet is about, so that nearly all flows are shared by all ports: a
port adds flows to CLASSIFY, GUARD, SOURCE, SWITCH and DELIVER only, and rules exist once for
each distinct *set* of security groups (a profile), not for each port.
"""

from __future__ import annotations

CLASSIFY = 0
POLICE = 10
TAP_OUT = 11
GUARD = 20
SOURCE = 21
EGRESS = 30
EGRESS_STATE = 31
EGRESS_RULES = 32
EGRESS_ACCEPT = 33
FIT = 54
ROUTE = 55
FLOATING_IN = 56
FLOATING_OUT = 57
NEIGHBOURS = 58
RESOLVED = 59
SWITCH = 60
DELIVER = 61
SERVICES = 62
FLOOD = 63
HOPS = 65
HELD = 66
ANSWER = 67
ADVERTISED = 68
INGRESS = 80
INGRESS_STATE = 81
INGRESS_RULES = 82
INGRESS_ACCEPT = 83
OUTPUT_TABLE = 90
DELIVERED = 91
TAP_IN = 92
METERING = 94
COUNTED = 95

NUMBER = "reg5"
"""The number of the device whose rules are applied: the sender's, then the receiver's. It is
also its connection-tracking zone, so that each device has a stateful filter of its own."""
NETWORK = "reg6"
"""The local VLAN."""
PROFILE = "reg7"
"""The set of security groups that applies."""
STATELESS = 1 << 31
"""The bit of a profile whose groups are stateless: packets of such devices are not tracked."""
ROUTER = "reg9"
"""The number of the distributed router that a packet was sent to."""
NEXT_HOP = "reg10"
"""The IPv4 address of the neighbour outside that a packet goes to."""
KNOWN = "reg11"
"""1: the neighbour's hardware address is in the packet; or its announcement has been heard."""
LENGTH = "reg12"
"""Of a packet that is routed: whether it is too long for where it goes (bit 0), and leaves by a physical
network (bit 1)."""
ONWARD = "reg14"
"""The local VLAN of the network that a packet is routed to."""
METERED = "reg15"
"""A metering label's number, and in the lowest bit the direction."""
OUTPUT = "NXM_NX_REG8[]"
OUTPUT_REGISTER = "reg8"
"""The OpenFlow port of the receiver."""
ZONE = "NXM_NX_REG5[0..15]"
LOCAL_IP_ZONE = 0xF000
"""The first of the zones of local IPs, one for each local VLAN; others are below."""

TUN_CLASSIFY = 0
TUN_OUTWARD = 2
TUN_GRE = 3
TUN_VXLAN = 4
TUN_UNICAST = 20
TUN_ARP = 21
TUN_FLOOD = 22

BRIDGE_COOKIE = 0x50110001
"""Flows that a bridge always has."""
DEVICE_COOKIE = 0x50110002
"""Flows of a plugged device."""
NETWORK_COOKIE = 0x50110003
"""Flows of a network: translation, flooding, forwarding."""
GROUP_COOKIE = 0x50110004
"""Flows of security groups."""

COUNTER_COOKIE = 0x50110005
"""Flows whose counters are read: those of metering labels."""

LEARNT_COOKIE = 0x50110010
"""Flows that the switch has learnt by ours: neighbours outside. The agent does not plan them."""

COOKIES = frozenset({BRIDGE_COOKIE, DEVICE_COOKIE, NETWORK_COOKIE, GROUP_COOKIE, COUNTER_COOKIE})
"""All that are ours: a flow with another cookie is somebody else's and stays."""

COOKIE_BITS, COOKIE_MASK = 0x50110000, 0xFFFFFFFFFFFFFFF8
"""All of ours and no others have these bits."""

MULTICAST = "01:00:00:00:00:00/01:00:00:00:00:00"
"""Matches multicast and broadcast destinations."""
