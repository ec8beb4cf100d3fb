"""Marks that keep a connection on one of a router's several gateways, as a table of its own. Pure.

A connection is marked with the gateway by which its first packet came in or left; what goes out from inside
is marked as its connection, or before there is one as the gateway of its floating IP, and routed by that. The
low half of a packet's mark is the router's (``router.py``), the high half is said here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.drivers.nft.limits import one_or_all
from pileus.drivers.nft.table import PREFIX, Base, Chain, Element, Expression, NamedSet, Rule, Table

TABLE = f"{PREFIX}gateways"
FIXED = "fixed_to_gateway"
MASK = 0xFFFF0000
_MANGLE = -150


def mark_of(number: int) -> int:
    """The mark of a gateway's number."""
    return number << 16


def render(numbers: Mapping[str, int], fixed: Mapping[str, int]) -> Table:
    """The table; none is wanted where there are not several gateways. ``numbers``: of gateways, by the name
    of the interface; ``fixed``: of the gateways of inner addresses that have a floating IP."""
    names = sorted(numbers)
    inner = _is(_meta("iifname"), one_or_all(names or [""]), "!=")
    elements = tuple(Element(address, mark_of(fixed[address])) for address in sorted(fixed))
    return Table(
        name=TABLE,
        family="inet",
        absent=len(numbers) < 2,
        sets=(NamedSet(name=FIXED, type=("ipv4_addr",), value_type=("mark",), elements=elements),),
        chains=(
            Chain(
                "prerouting",
                (
                    *(_began("iifname", name, numbers[name]) for name in names),
                    Rule(
                        "floating",
                        (
                            inner,
                            _NEW,
                            _set(
                                _meta("mark"),
                                {
                                    "map": {
                                        "key": {"payload": {"protocol": "ip", "field": "saddr"}},
                                        "data": f"@{FIXED}",
                                    }
                                },
                            ),
                        ),
                    ),
                    Rule("as it began", (inner, _MARKED, _set(_meta("mark"), _CONNECTION))),
                ),
                Base("filter", "prerouting", _MANGLE),
            ),
            Chain(
                "output",
                (Rule("as it began", (_MARKED, _set(_meta("mark"), _CONNECTION))),),
                Base("route", "output", _MANGLE),
            ),
            Chain(
                "postrouting",
                tuple(_began("oifname", name, numbers[name]) for name in names),
                Base("filter", "postrouting", _MANGLE),
            ),
        ),
    )


def _began(key: str, name: str, number: int) -> Rule:
    return Rule(f"by {name}", (_is(_meta(key), name), _NEW, _set(_CONNECTION, mark_of(number))))


def _meta(key: str) -> Expression:
    return {"meta": {"key": key}}


def _set(key: Expression, value: Any) -> Expression:
    return {"mangle": {"key": key, "value": value}}


def _is(left: Expression, right: Any, operator: str = "==") -> Expression:
    return {"match": {"op": operator, "left": left, "right": right}}


_CONNECTION: Expression = {"ct": {"key": "mark"}}
_NEW = _is({"ct": {"key": "state"}}, "new", "in")
_MARKED = _is(_CONNECTION, 0, "!=")
