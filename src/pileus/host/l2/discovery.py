"""Flows of neighbour and router discovery (RFC 4861) for distributed routers. Pure.

Who asks for a router's address is answered by the switch where it is, and who asks for routers by the agent
there (``solicited``): also while no other host lives. Other hosts ask for it where its port is plugged, as
those do that don't route. That port advertises the router, too, for their guests: what it says is heard by
none that a host has told already.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from pileus.core.addresses import link_local
from pileus.host.l2 import tables as t
from pileus.host.l2.answers import neighbour_answer
from pileus.host.l2.words import ASKED, ASKED_METER, SOLICITED, told
from pileus.wire.distributed import DistributedInterface

_NO_MAC = "00:00:00:00:00:00"
Parts = tuple[int, int, str, str]


class Destination(msgspec.Struct, frozen=True):
    """An address on one of a router's networks, here or on another host; ``by_wire``: on one that is reached
    by a physical network."""

    address: str
    mac_address: str
    by_wire: bool = False


class Wire(msgspec.Struct, frozen=True):
    """How a network's frames come and go on a physical network. ``arriving`` matches them as they come, and
    ``entering`` makes them the network's; ``own_mac``: this host's address as a router there, ``macs``: those
    of all hosts."""

    arriving: str
    entering: tuple[str, ...]
    own_mac: str
    macs: str


class RoutedNetwork(msgspec.Struct, frozen=True):
    """A network of a router, by its number here. ``plugged``: the router's port is plugged here, too;
    ``outward``: the actions that bring a frame to the network's other hosts."""

    interface: DistributedInterface
    vlan: int
    destinations: tuple[Destination, ...]
    plugged: bool = False
    mtu: int = 0
    outward: str = ""
    wire: Wire | None = None


def own_addresses(interface: DistributedInterface) -> list[str]:
    """The router's IPv6 addresses on a network, that of the link among them; none where it has no other."""
    new = [address for address in interface.ip_addresses if ":" in address]
    return list(dict.fromkeys((*new, link_local(interface.mac_address)))) if new else []


def parts(network: RoutedNetwork, outer: tuple[int, ...]) -> Iterator[Parts]:
    """The flows of one network; ``outer``: the OpenFlow ports by which frames come from other hosts."""
    register, mac = f"{t.NETWORK}=0x{network.vlan:x}", network.interface.mac_address.lower()
    # A packet that is on its way to the router's port is asked by nobody here.
    asked = f"icmp6,{register},{t.ROUTER}=0x0,icmp_type=135,icmp_code=0"
    for address in own_addresses(network.interface):
        question = f"{asked},nd_target={address}"
        yield t.SWITCH, 42, question, neighbour_answer(mac, address)
        # No room for the answer's option: of who has no address yet, or knows the router's hardware address.
        yield t.SWITCH, 43, f"{question},nd_sll={_NO_MAC}", told(ASKED, ASKED_METER)
        if network.plugged:
            # The router's port makes sure that its addresses are nobody else's.
            yield t.SWITCH, 45, f"{question},dl_src={mac}", "drop"
        for port in outer if not network.plugged else ():
            yield t.SWITCH, 44, f"{question},in_port={port}", "drop"
    if network.interface.advertised:
        yield from _advertised(network, register, mac, outer)


def _advertised(network: RoutedNetwork, register: str, mac: str, outer: tuple[int, ...]) -> Iterator[Parts]:
    solicitation = f"icmp6,{register},icmp_type=133,icmp_code=0"
    onward = f"resubmit(,{t.SERVICES})"
    yield t.SWITCH, 42, solicitation, f"{told(SOLICITED, ASKED_METER)},{onward}"
    announced = f"icmp6,{register},icmp_type=134,dl_src={mac}"
    yield t.SWITCH, 43, announced, network.outward or "drop"
    for port in outer:
        yield t.SWITCH, 43, f"{solicitation},in_port={port}", onward
        yield t.SWITCH, 44, f"{announced},in_port={port}", "drop"
