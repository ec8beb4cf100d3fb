"""Port forwardings of a router: the elements of two maps, and the rules that ask them. Pure.

The first map says to which address a port of a floating IP leads, a range being one element; the
second to which port there, for those that lead to another number (nft has no mapping that keeps the
distance between two ranges, so each number of such a range is an element).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from pileus.drivers.nft.table import Element, Expression, NamedSet, Rule

FORWARDED_ADDRESS, FORWARDED_PORT = "forwarded_address", "forwarded_port"
_KEY_TYPE = ("inet_proto", "ipv4_addr", "inet_service")


class Forwarding(msgspec.Struct, frozen=True):
    """Ports of an address of the outer network that lead to an inner one: first and last of each side."""

    id: str
    protocol: str
    floating: str
    external: tuple[int, int]
    fixed: str
    internal: tuple[int, int]


def sets(forwardings: Sequence[Forwarding]) -> tuple[NamedSet, NamedSet]:
    """The two maps."""
    ordered = sorted(forwardings, key=lambda one: (one.floating, one.protocol, one.external))
    return (
        NamedSet(
            name=FORWARDED_ADDRESS,
            type=_KEY_TYPE,
            value_type=("ipv4_addr",),
            interval=True,
            elements=tuple(
                Element((one.protocol, one.floating, _ports(*one.external)), one.fixed, one.id)
                for one in ordered
            ),
        ),
        NamedSet(
            name=FORWARDED_PORT,
            type=_KEY_TYPE,
            value_type=("inet_service",),
            interval=True,
            elements=tuple(element for one in ordered for element in _renumbered(one)),
        ),
    )


def rules() -> Iterable[Rule]:
    """The rules, the same whatever is forwarded: what has no other port keeps its own."""
    transport: Expression = {
        "match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": {"set": ["tcp", "udp"]}}
    }
    address, port = _looked_up(FORWARDED_ADDRESS), _looked_up(FORWARDED_PORT)
    yield Rule("forward to port", (transport, {"dnat": {"addr": address, "port": port}}))
    yield Rule("forward", (transport, {"dnat": {"addr": address}}))


def _renumbered(one: Forwarding) -> Iterable[Element]:
    first, last = one.external
    if one.internal[0] == one.internal[1]:
        if one.external != one.internal:
            yield Element((one.protocol, one.floating, _ports(first, last)), one.internal[0], one.id)
    elif one.external != one.internal:
        for outside, inside in zip(
            range(first, last + 1), range(one.internal[0], one.internal[1] + 1), strict=False
        ):
            yield Element((one.protocol, one.floating, outside), inside, one.id)


def _ports(first: int, last: int) -> str | int:
    return first if first == last else f"{first}-{last}"


def _looked_up(name: str) -> dict[str, Any]:
    key = [
        {"meta": {"key": "l4proto"}},
        {"payload": {"protocol": "ip", "field": "daddr"}},
        {"payload": {"protocol": "th", "field": "dport"}},
    ]
    return {"map": {"key": {"concat": key}, "data": f"@{name}"}}
