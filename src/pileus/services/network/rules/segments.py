"""How a network is carried: types, ranges of VLAN tags and tunnel ids, and the MTU that remains."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from pileus.core.errors import Conflict, Unavailable
from pileus.services.network.common.errors import InUse, InvalidInput

TUNNELS = frozenset({"vxlan", "gre"})
TYPES = ("flat", "vlan", "vxlan", "gre")

OVERHEAD = {"flat": 0, "vlan": 0, "vxlan": 50, "gre": 42}
"""Bytes that the encapsulation takes from the underlay's MTU with an IPv4 underlay: VXLAN 20 IP + 8 UDP +
8 VXLAN + 14 Ethernet (RFC 7348); GRE 20 IP + 8 GRE with key + 14 Ethernet (RFC 2784, RFC 2890)."""

LIMITS = {"vlan": (1, 4094), "vxlan": (1, 2**24 - 1), "gre": (1, 2**32 - 1)}


class VlanIdInUse(InUse):
    message = (
        "Unable to create the network. The VLAN {vlan_id} on physical network {physical_network} is in use."
    )


class TunnelIdInUse(InUse):
    message = "Unable to create the network. The tunnel ID {tunnel_id} is in use."


class FlatNetworkInUse(InUse):
    message = "Unable to create the flat network. Physical network {physical_network} is in use."


class NoNetworkAvailable(Unavailable):
    message = "Unable to create the network. No project network is available for allocation."


class Segment(NamedTuple):
    """One segment; the fields that its type does not have are "" and 0, so that they can be keys."""

    network_type: str
    physical_network: str = ""
    segmentation_id: int = 0


class Ranges(NamedTuple):
    """From where segments are given to those who name none.

    ``order``: the types that projects' networks are tried with; ``vlan``: physical network to ranges of
    tags (possibly none: then it exists, and only administrators choose a tag); ``flat``: physical networks
    that may be used untagged (``*`` for any); ``vxlan``, ``gre``: ranges of ids. All ranges are inclusive.
    """

    order: Sequence[str] = ("vxlan",)
    vlan: Mapping[str, Sequence[tuple[int, int]]] = {}
    flat: Sequence[str] = ("*",)
    vxlan: Sequence[tuple[int, int]] = ((1, 16777215),)
    gre: Sequence[tuple[int, int]] = ((1, 65535),)

    def pools(self, network_type: str) -> list[tuple[str, Sequence[tuple[int, int]]]]:
        """(physical network, ranges) to take a segment of this type from."""
        if network_type == "vlan":
            return [(name, ranges) for name, ranges in self.vlan.items() if ranges]
        ranges = {"vxlan": self.vxlan, "gre": self.gre}.get(network_type, ())
        return [("", ranges)] if ranges else []


def check(
    network_type: str, physical_network: str | None, segmentation_id: int | None, ranges: Ranges
) -> None:
    """InvalidInput where the provider attributes of a request don't go together."""
    if network_type not in TYPES:
        raise InvalidInput(f"Unknown provider:network_type {network_type}")
    if network_type in TUNNELS and physical_network:
        raise InvalidInput(f"provider:physical_network specified for {network_type.upper()} network")
    if network_type == "flat":
        if segmentation_id is not None:
            raise InvalidInput("provider:segmentation_id specified for flat network")
        if not physical_network:
            raise InvalidInput("provider:physical_network required for flat network")
        if "*" not in ranges.flat and physical_network not in ranges.flat:
            raise InvalidInput(f"Physical network '{physical_network}' unknown for flat provider network")
    if network_type == "vlan":
        if segmentation_id is not None and not physical_network:
            raise InvalidInput("segmentation_id requires physical_network for VLAN provider network")
        if physical_network and physical_network not in ranges.vlan:
            raise InvalidInput(f"physical_network '{physical_network}' unknown for VLAN provider network")
        if segmentation_id is None and physical_network and not ranges.vlan[physical_network]:
            raise InvalidInput(
                f"Physical network {physical_network} requires segmentation_id to be specified"
            )
    if segmentation_id is not None:
        low, high = LIMITS[network_type]
        if not low <= segmentation_id <= high:
            raise InvalidInput(f"segmentation_id out of range ({low} through {high})")


def in_use(segment: Segment) -> InUse:
    """The refusal of a segment that was asked for by name and is another network's."""
    if segment.network_type == "flat":
        return FlatNetworkInUse(physical_network=segment.physical_network)
    if segment.network_type == "vlan":
        return VlanIdInUse(vlan_id=segment.segmentation_id, physical_network=segment.physical_network)
    return TunnelIdInUse(tunnel_id=segment.segmentation_id)


FIRST_DRAWN = 1000
"""Ids that are tried before all others: small numbers are easier to read in a packet."""


def minus(ranges: Iterable[tuple[int, int]], others: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return what remains of ranges when others are taken out of them."""
    left = list(ranges)
    for low, high in others:
        left = [
            part
            for first, last in left
            for part in ((first, min(last, low - 1)), (max(first, high + 1), last))
            if part[0] <= part[1]
        ]
    return left


def draw(
    ranges: Sequence[tuple[int, int]], count: int, dice: random.Random, among: int | None = None
) -> list[int]:
    """Up to ``count`` different ids at random, of the first ``among``, for asking the database which of them
    are taken."""
    total = sum(last - first + 1 for first, last in ranges)
    total = total if among is None else min(total, among)
    drawn = dice.sample(range(total), min(count, total))
    return [_at(ranges, offset) for offset in drawn]


def free(ranges: Sequence[tuple[int, int]], taken: Collection[int], dice: random.Random) -> int | None:
    """A free id: from a random start upwards to the first that is not taken, around the end; None if full."""
    total = sum(last - first + 1 for first, last in ranges)
    if total == 0:
        return None
    offset = dice.randrange(total)
    for step in range(min(total, len(taken) + 1)):
        found = _at(ranges, (offset + step) % total)
        if found not in taken:
            return found
    return None


def _at(ranges: Sequence[tuple[int, int]], offset: int) -> int:
    for first, last in ranges:
        if offset <= last - first:
            return first + offset
        offset -= last - first + 1
    raise IndexError(offset)


def greatest_mtu(network_type: str, physical_mtu: int) -> int:
    """The largest packet that fits through the underlay, in bytes."""
    return physical_mtu - OVERHEAD[network_type]


LEAST_MTU = {4: 68, 6: 1280}
"""The least MTU of each IP version (RFC 791, RFC 8200); a network without subnets may have less."""


class NetworkMTUSubnetConflict(Conflict):
    message = "MTU of {net_id} is not valid, subnet requires a minimum of {mtu}"


def check_mtu(network_id: str, asked: int, ip_versions: Collection[int]) -> None:
    """NetworkMTUSubnetConflict where a network's MTU is too small for its subnets' IP versions."""
    # Also an IPv6 subnet is first measured by what IPv4 needs, as the Network API does.
    for least in sorted({LEAST_MTU[4], *(LEAST_MTU[version] for version in ip_versions)}):
        if ip_versions and asked < least:
            raise NetworkMTUSubnetConflict(net_id=network_id, mtu=least)


def mtu_on_node(mtu: int) -> int:
    """The MTU of interfaces in a network: no device of Linux's or Open vSwitch's takes less than 68."""
    return max(mtu, LEAST_MTU[4])


def mtu(network_type: str, asked: int | None, physical_mtu: int) -> int:
    """The MTU of a network: the greatest possible, or a smaller one that was asked for (0 asks for none)."""
    greatest = greatest_mtu(network_type, physical_mtu)
    if not asked:
        return greatest
    if asked > greatest:
        raise InvalidInput(f"Requested MTU is too big, maximum is {greatest}")
    return asked
