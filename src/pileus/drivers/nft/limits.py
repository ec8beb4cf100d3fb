"""The limits of a router's addresses: what comes for one and what leaves as one, at the gateway. Pure.

What comes is counted before its address is translated, what leaves after it. More than an address may have is
dropped, as a policer does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from pileus.drivers.nft.table import Base, Chain, Expression, Rule

_BEFORE_NAT, _AFTER_NAT = -300, 150
_LEAST_BURST_BYTES = 66_000
"""Segments that the network stack cuts later come as one packet of up to 64 KiB."""


class AddressLimit(msgspec.Struct, frozen=True, order=True):
    """A limit of an address. ``outward``: of what leaves; else of what comes. ``burst_kb`` 0 is four fifths
    of a second's worth."""

    address: str
    outward: bool
    rate_kbps: int
    burst_kb: int = 0


def one_or_all(names: Sequence[str]) -> Any:
    """The right side of a match of an interface's name."""
    return names[0] if len(names) == 1 else {"set": sorted(names)}


def chains(gateways: Sequence[str], limits: Iterable[AddressLimit]) -> Sequence[Chain]:
    """The chains that limit; without rules where nothing is limited."""
    ordered = sorted(limits) if gateways else []
    inward = tuple(_rule(one, gateways) for one in ordered if not one.outward)
    outward = tuple(_rule(one, gateways) for one in ordered if one.outward)
    return (
        Chain("limit_in", inward, Base("filter", "prerouting", _BEFORE_NAT)),
        Chain("limit_out", outward, Base("filter", "postrouting", _AFTER_NAT)),
    )


def _rule(limit: AddressLimit, gateways: Sequence[str]) -> Rule:
    interface, field = ("oifname", "saddr") if limit.outward else ("iifname", "daddr")
    protocol = "ip6" if ":" in limit.address else "ip"
    burst_kb = limit.burst_kb or limit.rate_kbps * 4 // 5
    over: Expression = {
        "limit": {
            "rate": limit.rate_kbps * 125,
            "rate_unit": "bytes",
            "per": "second",
            "burst": max(burst_kb * 125, _LEAST_BURST_BYTES),
            "burst_unit": "bytes",
            "inv": True,
        }
    }
    return Rule(
        f"limit {limit.address}",
        (
            _is({"meta": {"key": interface}}, one_or_all(gateways)),
            _is({"payload": {"protocol": protocol, "field": field}}, limit.address),
            over,
            {"drop": None},
        ),
    )


def _is(left: Expression, right: Any) -> Expression:
    return {"match": {"op": "==", "left": left, "right": right}}
